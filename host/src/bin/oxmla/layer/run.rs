//! One request that goes through a layer.

use std::time::Instant;

use oxmla::layer::{Forward, LayerScratch, MlaAttention};
use oxmla::{
    BLOCK_SIZE, BlockPool, BlockTable, Buffer, CacheLayout, DType, LatentCache, Mask, Planner,
    PlannerConfig, ROPE_PAIRS, Result, Sequence, Step, Stream,
};
use rand_chacha::rand_core::SeedableRng;

use crate::elements::{self, Rng};

/// A request, and what its layer works with.
pub struct Run<'a> {
    layer: &'a MlaAttention,
    planner: Planner,
    stream: Stream,
    scratch: LayerScratch,
    cache: LatentCache,
    rope: Buffer,
    hidden: Buffer,
    out: Buffer,
    pool: BlockPool,
    request: Sequence,
    positions: usize,
    rng: Rng,
}

impl<'a> Run<'a> {
    /// A request of up to `positions` tokens, in steps of up to `chunk`.
    pub fn new(layer: &'a MlaAttention, positions: usize, chunk: usize) -> Result<Self> {
        let device = layer.device();
        let blocks = positions.div_ceil(BLOCK_SIZE);
        let config = PlannerConfig {
            dims: layer.dims(),
            dtype: layer.dtype(),
            max_batch: 1,
            max_blocks_per_sequence: blocks,
            max_s_q: u32::try_from(chunk).unwrap_or(u32::MAX),
            block_size: BLOCK_SIZE,
            blocks_in_cache: blocks,
        };
        let layout = CacheLayout::new(layer.dims(), layer.dtype(), BLOCK_SIZE)?;
        let bytes = chunk * layer.config().hidden_size * layer.dtype().size();
        let pool = BlockPool::new(blocks)?;
        Ok(Self {
            planner: Planner::new(device, config)?,
            stream: device.stream()?,
            scratch: LayerScratch::new(layer, chunk)?,
            cache: LatentCache::new(device, layout, blocks)?,
            rope: device.upload(&layer.config().rope.table(positions))?,
            hidden: device.alloc(bytes)?,
            out: device.alloc(bytes)?,
            request: pool.sequence(),
            pool,
            positions,
            rng: Rng::seed_from_u64(0),
            layer,
        })
    }

    /// Puts `tokens` more random hidden states through the layer; the time in µs, planning included.
    pub fn step(&mut self, tokens: usize) -> Result<f64> {
        let (width, dtype) = (self.layer.config().hidden_size, self.layer.dtype());
        let elements = elements::random(dtype, tokens * width, &mut self.rng);
        self.hidden.write(0, bytemuck::cast_slice(&elements))?;
        let _ = self.pool.append(&mut self.request, tokens)?;
        let table = BlockTable::from_sequences(&[&self.request])?;

        let (start, stream) = (Instant::now(), self.stream.as_ref());
        let step = Step::new(&table, u32::try_from(tokens).unwrap_or(u32::MAX), Mask::Causal);
        let plan = self.planner.plan(stream, step)?;
        let args = Forward {
            hidden: self.hidden.view(dtype, &[tokens, width])?,
            kv_cache: self.cache.view_mut(),
            rope: self.rope.view(DType::F32, &[self.positions, ROPE_PAIRS, 2])?,
            scratch: &mut self.scratch,
            out: self.out.view_mut(dtype, &[tokens, width])?,
        };
        self.layer.forward(&self.planner, &plan, stream, args)?;
        self.stream.synchronize()?;
        Ok(start.elapsed().as_secs_f64() * 1e6)
    }
}
