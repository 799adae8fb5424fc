//! oxmla's layers behind candle's tensors.

use anyhow::{Context, Result};
use candle_core::Tensor;
use candle_nn::VarBuilder;
use oxmla::layer::{
    Forward, HeadShard, LayerScratch, MlaAttention, MlaConfig, MlaWeights, QueryWeights,
};
use oxmla::{
    BLOCK_SIZE, BlockPool, BlockTable, Buffer, CacheLayout, DType, DecodePlan, Device, LatentCache,
    Mask, Planner, PlannerConfig, ROPE_PAIRS, Sequence, Step, StreamRef,
};
use oxmla_candle::{CpuRef, new_tensor};

/// Type of queries and cache. Everything else is f32, in both models.
const DTYPE: DType = DType::F16;
const BLOCKS: usize = 4;
const POSITIONS: usize = BLOCKS * BLOCK_SIZE;

/// The attention of one layer.
pub struct Attention {
    layer: MlaAttention,
    cache: LatentCache,
}

/// What the layers of a model share: one request, its blocks, the plan of a step.
pub struct Shared {
    planner: Planner,
    scratch: LayerScratch,
    rope: Buffer,
    pool: BlockPool,
    request: Sequence,
}

impl Attention {
    /// The layer whose weights `vb` has.
    pub fn new(config: &MlaConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let names: &[&str] = match config.q_lora_rank {
            None => &["q_proj"],
            Some(_) => &["q_a_proj", "q_a_layernorm", "q_b_proj"],
        };
        let names =
            names.iter().chain(&["kv_a_proj_with_mqa", "kv_a_layernorm", "kv_b_proj", "o_proj"]);
        let weights = names
            .map(|name| vb.get_unchecked(&format!("{name}.weight")))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let weights = weights.iter().map(CpuRef::new).collect::<oxmla_candle::Result<Vec<_>>>()?;
        let views = weights.iter().map(CpuRef::view).collect::<oxmla_candle::Result<Vec<_>>>()?;
        let (query, rest) = views.split_at(views.len() - 4);
        let weights = MlaWeights {
            q: match *query {
                [q_proj] => QueryWeights::Direct { q_proj },
                [q_a_proj, q_a_layernorm, q_b_proj] => {
                    QueryWeights::Compressed { q_a_proj, q_a_layernorm, q_b_proj }
                }
                _ => anyhow::bail!("{} query weights", query.len()),
            },
            kv_a_proj_with_mqa: rest[0],
            kv_a_layernorm: rest[1],
            kv_b_proj: rest[2],
            o_proj: rest[3],
        };
        let device = Device::cpu();
        let layer = MlaAttention::new(&device, config, &weights, DTYPE, HeadShard::WHOLE)?;
        let layout = CacheLayout::new(layer.dims(), DTYPE, BLOCK_SIZE)?;
        Ok(Self { layer, cache: LatentCache::new(&device, layout, BLOCKS)? })
    }

    /// Runs the layer on normalised hidden states `[tokens, hidden]`.
    pub fn forward(
        &mut self,
        shared: &mut Shared,
        plan: &DecodePlan,
        hidden: &Tensor,
    ) -> Result<Tensor> {
        let Shared { planner, scratch, rope, .. } = shared;
        let borrowed = CpuRef::new(hidden)?;
        let view = borrowed.view()?;
        let (out, ()) = new_tensor(hidden.dtype(), hidden.dims(), |out| {
            let args = Forward {
                hidden: view,
                kv_cache: self.cache.view_mut(),
                rope: rope.view(DType::F32, &[POSITIONS, ROPE_PAIRS, 2])?,
                scratch,
                out,
            };
            self.layer.forward(planner, plan, StreamRef::cpu(), args)
        })?;
        Ok(out)
    }
}

impl Shared {
    /// What layers like these need.
    pub fn new(layers: &[&Attention]) -> Result<Self> {
        let layer = &layers.first().context("no layers")?.layer;
        let device = layer.device();
        let config = PlannerConfig {
            dims: layer.dims(),
            dtype: layer.dtype(),
            max_batch: 1,
            max_blocks_per_sequence: BLOCKS,
            max_s_q: POSITIONS as u32,
            block_size: BLOCK_SIZE,
            blocks_in_cache: BLOCKS,
        };
        let pool = BlockPool::new(BLOCKS)?;
        Ok(Self {
            planner: Planner::new(device, config)?,
            scratch: LayerScratch::new(layer, POSITIONS)?,
            rope: device.upload(&layer.config().rope.table(POSITIONS))?,
            request: pool.sequence(),
            pool,
        })
    }

    /// Makes room for `tokens` more tokens, and plans their step.
    pub fn plan(&mut self, tokens: usize) -> Result<DecodePlan> {
        let _ = self.pool.append(&mut self.request, tokens)?;
        let table = BlockTable::from_sequences(&[&self.request])?;
        let step = Step::new(&table, tokens as u32, Mask::Causal);
        Ok(self.planner.plan(StreamRef::cpu(), step)?)
    }
}
