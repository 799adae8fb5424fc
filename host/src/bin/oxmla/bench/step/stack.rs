//! A stack of layers, and the requests that go through it.

use anyhow::{Context, ensure};
use oxmla::layer::{Forward, HeadShard, LayerScratch, MlaAttention, MlaConfig, Operation};
use oxmla::{
    BLOCK_SIZE, BlockTable, Buffer, CacheLayout, DType, DecodePlan, Device, Mask, Planner,
    PlannerConfig, ROPE_PAIRS, Result, Step, StreamRef,
};
use rand_chacha::rand_core::SeedableRng;

use super::weights::Weights;
use crate::bench::progress_bar;
use crate::elements::{self, Rng};

/// Rows of a cache that repeat.
const ROWS: usize = 1 << 12;
/// Elements of a row.
const ROW: usize = 576;

/// What a stack is made for.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub layers: usize,
    /// Most requests.
    pub batch: usize,
    /// New tokens of each.
    pub s_q: usize,
    /// Tokens of each, the new ones included.
    pub seq_len: usize,
    /// Ranks that have a part of the heads each.
    pub world: usize,
}

/// Layers, each with weights and cache of its own. All read the same hidden states, as if each were normalised, and
/// write over the same output: time does not depend on the numbers.
pub struct Stack {
    pub size: Size,
    layers: Vec<MlaAttention>,
    caches: Vec<Buffer>,
    layout: CacheLayout,
    scratch: LayerScratch,
    rope: Buffer,
    hidden: Buffer,
    out: Buffer,
}

/// A planned step.
pub struct Planned {
    planner: Planner,
    plan: DecodePlan,
}

impl Stack {
    /// Puts weights and caches on the device.
    pub fn new(device: &Device, size: &Size) -> anyhow::Result<Self> {
        let config = MlaConfig::deepseek_v3();
        let q_lora_rank = config.q_lora_rank.context("DeepSeek-V3 compresses queries")?;
        let weights = Weights::new(&config, q_lora_rank);
        let shard = HeadShard::new(0, size.world)?;
        let bar = progress_bar(size.layers);
        bar.set_message("layers loaded");
        let layers = (0..size.layers).map(|_| weights.layer(device, shard).inspect(|_| bar.inc(1)));
        let layers: Vec<_> = layers.collect::<Result<_>>().context("the weights")?;
        bar.finish_and_clear();
        let first = layers.first().context("a stack of no layers")?;
        let layout = CacheLayout::new(first.dims(), DType::Bf16, BLOCK_SIZE)?;
        let caches =
            (0..size.layers).map(|_| cache(device, size.blocks() * layout.bytes_per_block()));
        let tokens = size.batch * size.s_q;
        let hidden: Vec<u16> = {
            let mut rng = Rng::seed_from_u64(1);
            elements::random(DType::Bf16, tokens * config.hidden_size, &mut rng)
        };
        Ok(Self {
            size: *size,
            caches: caches.collect::<Result<_>>().context("the caches")?,
            layout,
            scratch: LayerScratch::new(first, tokens)?,
            rope: device.upload(&config.rope.table(size.seq_len))?,
            hidden: upload_bits(device, &hidden)?,
            out: device.alloc(2 * tokens * config.hidden_size)?,
            layers,
        })
    }

    /// Plans a step of `batch` requests, whose blocks are all over the caches.
    pub fn plan(
        &self,
        device: &Device,
        stream: StreamRef<'_>,
        batch: usize,
    ) -> anyhow::Result<Planned> {
        ensure!(batch <= self.size.batch, "the caches have no room for {batch} requests");
        let (columns, blocks) = (self.size.columns(), self.size.blocks());
        let config = PlannerConfig {
            dims: self.layers[0].dims(),
            dtype: DType::Bf16,
            max_batch: batch,
            max_blocks_per_sequence: columns,
            max_s_q: u32::try_from(self.size.s_q)?,
            block_size: BLOCK_SIZE,
            blocks_in_cache: blocks,
        };
        // A permutation, for the step is prime and larger than any number of blocks here has as a factor.
        let ids: Vec<i32> = (0..blocks).map(|block| (block * 1_000_003 % blocks) as i32).collect();
        let rows: Vec<&[i32]> = ids.chunks_exact(columns).take(batch).collect();
        let table = BlockTable::from_rows(&vec![i32::try_from(self.size.seq_len)?; batch], &rows)?;
        let mut planner = Planner::new(device, config)?;
        let step = Step::new(&table, config.max_s_q, Mask::Causal);
        let plan = planner.plan(stream, step)?;
        Ok(Planned { planner, plan })
    }

    /// Gives the work of layer number `layer` to `stream`; `after` is called behind each operation.
    pub fn forward(
        &mut self,
        planned: &Planned,
        stream: StreamRef<'_>,
        layer: usize,
        after: &mut dyn FnMut(Operation) -> Result<()>,
    ) -> Result<()> {
        let Planned { planner, plan } = planned;
        let tokens = plan.batch() * self.size.s_q;
        let shape = [tokens, self.layers[layer].config().hidden_size];
        let args = Forward {
            hidden: self.hidden.view(DType::Bf16, &shape)?,
            kv_cache: self.caches[layer]
                .view_mut(DType::Bf16, &self.layout.shape(self.size.blocks()))?,
            rope: self.rope.view(DType::F32, &[self.size.seq_len, ROPE_PAIRS, 2])?,
            scratch: &mut self.scratch,
            out: self.out.view_mut(DType::Bf16, &shape)?,
        };
        self.layers[layer].forward_observed(planner, plan, stream, args, after)
    }

    /// Bytes of weights and cache that an operation reads, with `batch` requests.
    pub fn bytes_read(&self, operation: Operation, batch: usize) -> usize {
        let layer = &self.layers[0];
        let MlaConfig { hidden_size: hidden, kv_lora_rank: latent, .. } = *layer.config();
        let (config, heads) = (layer.config(), layer.dims().h_q() as usize);
        let rank = config.q_lora_rank.unwrap_or(0);
        let elements = match operation {
            Operation::ProjectHidden => hidden * (rank + ROW),
            Operation::ProjectQuery => rank * heads * config.qk_head_dim(),
            Operation::Absorb => heads * config.qk_nope_head_dim * latent,
            Operation::Attend => batch * self.size.seq_len * ROW,
            Operation::Expand => heads * config.v_head_dim * latent,
            Operation::ProjectOutput => hidden * heads * config.v_head_dim,
            _ => 0,
        };
        2 * elements
    }
}

impl Size {
    fn columns(&self) -> usize {
        self.seq_len.div_ceil(BLOCK_SIZE)
    }

    fn blocks(&self) -> usize {
        self.batch * self.columns()
    }
}

/// A cache of `bytes` bytes, full of the same random rows again and again: of 0, softmax would make something else.
fn cache(device: &Device, bytes: usize) -> Result<Buffer> {
    let rows = elements::random(DType::Bf16, ROWS * ROW, &mut Rng::seed_from_u64(2));
    let rows: &[u8] = bytemuck::cast_slice(&rows);
    let mut buffer = device.alloc(bytes)?;
    let mut filled = rows.len().min(bytes);
    buffer.write(0, &rows[..filled])?;
    while filled < bytes {
        let more = filled.min(bytes - filled);
        buffer.copy_within(0, filled, more)?;
        filled += more;
    }
    Ok(buffer)
}

fn upload_bits(device: &Device, bits: &[u16]) -> Result<Buffer> {
    let mut buffer = device.alloc(size_of_val(bits))?;
    buffer.write(0, bytemuck::cast_slice(bits))?;
    Ok(buffer)
}
