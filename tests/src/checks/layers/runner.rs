//! A layer on a device with its cache, and requests that go through it.

use anyhow::{Result, ensure};
use oxmla::layer::{Forward, LayerScratch, MlaAttention};
use oxmla::{
    BLOCK_SIZE, BlockPool, BlockTable, Buffer, DType, DecodePlan, Mask, Planner, PlannerConfig,
    ROPE_PAIRS, Sequence, Step, Stream, TensorMut, TensorRef,
};

use super::model::random;
use crate::element::NAN_BITS;
use crate::guarded::Guarded;
use crate::layout::{D_K, Layout};

/// Blocks of a cache.
const BLOCKS: usize = 24;
/// Positions of the rotary table, and tokens that the longest request may have.
const POSITIONS: usize = 12 * BLOCK_SIZE;
/// Elements between the rows of hidden states, NaN before and after.
const GAP: usize = 8;
/// Requests of a step.
const BATCH: usize = 8;

/// What a model has for one layer.
pub struct Runner<'a> {
    layer: &'a MlaAttention,
    planner: Planner,
    stream: &'a Stream,
    pub pool: BlockPool,
    scratch: LayerScratch,
    cache: Buffer,
    rope: Buffer,
    hidden: Buffer,
    out: Guarded<u16, 2>,
    tokens: usize,
}

impl<'a> Runner<'a> {
    /// A cache of NaN, and room for steps of up to `tokens` tokens.
    pub fn new(layer: &'a MlaAttention, stream: &'a Stream, tokens: usize) -> Result<Self> {
        let (device, dtype) = (layer.device(), layer.dtype());
        let config = PlannerConfig {
            dims: layer.dims(),
            dtype,
            max_batch: BATCH,
            max_blocks_per_sequence: POSITIONS / BLOCK_SIZE,
            max_s_q: tokens as u32,
            block_size: BLOCK_SIZE,
            blocks_in_cache: BLOCKS,
        };
        let width = layer.config().hidden_size;
        let mut cache = device.alloc(BLOCKS * BLOCK_SIZE * D_K * dtype.size())?;
        cache.fill(0xff)?;
        let out = Guarded::new(device, dtype, rows(tokens, width))?;
        Ok(Self {
            layer,
            planner: Planner::new(device, config)?,
            stream,
            pool: BlockPool::new(BLOCKS)?,
            scratch: LayerScratch::new(layer, tokens)?,
            cache,
            rope: device.upload(&layer.config().rope.table(POSITIONS))?,
            hidden: device.alloc(tokens * (width + GAP) * dtype.size())?,
            out,
            tokens,
        })
    }

    /// Fills the cache with random rows.
    pub fn fill(&mut self, seed: u64) -> Result<()> {
        let rows = random(self.layer.dtype(), BLOCKS * BLOCK_SIZE * D_K, 1.0, seed);
        Ok(self.cache.write(0, bytemuck::cast_slice(&rows))?)
    }

    /// What the cache holds, by its bits.
    pub fn cache(&self) -> Result<Vec<u16>> {
        self.stream.synchronize()?;
        let mut bits = vec![0; BLOCKS * BLOCK_SIZE * D_K];
        self.cache.read(0, bytemuck::cast_slice_mut(&mut bits))?;
        Ok(bits)
    }

    /// Puts `tokens` random hidden states, of deviation 1, where the layer reads them.
    pub fn set_hidden(&mut self, tokens: usize, seed: u64) -> Result<()> {
        ensure!(tokens <= self.tokens, "{tokens} tokens in a step");
        let (dtype, width) = (self.layer.dtype(), self.layer.config().hidden_size);
        let values = random(dtype, tokens * width, 1.0, seed);
        let mut bits = vec![NAN_BITS; tokens * (width + GAP)];
        for (row, values) in bits.chunks_exact_mut(width + GAP).zip(values.chunks_exact(width)) {
            row[..width].copy_from_slice(values);
        }
        self.stream.synchronize()?;
        Ok(self.hidden.write(0, bytemuck::cast_slice(&bits))?)
    }

    /// Plans a step of the last `s_q` tokens of each request.
    pub fn plan(&mut self, requests: &[&Sequence], s_q: usize) -> Result<DecodePlan> {
        let table = BlockTable::from_sequences(requests)?;
        let step = Step::new(&table, s_q as u32, Mask::Causal);
        Ok(self.planner.plan(self.stream.as_ref(), step)?)
    }

    /// Gives the layer's work to the stream.
    pub fn forward(&mut self, plan: &DecodePlan) -> oxmla::Result<()> {
        let (dtype, tokens) = (self.layer.dtype(), plan.batch() * plan.s_q() as usize);
        let Layout { shape, strides } = rows(tokens, self.layer.config().hidden_size);
        let (address, location) = (self.hidden.address(), self.hidden.location());
        // SAFETY: there is room for as many tokens, and nobody writes them until the stream has been waited for.
        let hidden = unsafe { TensorRef::from_raw(address, dtype, &shape, &strides, location)? };
        let whole = self.out.view_mut()?;
        // SAFETY: the first rows of the tensor, which is borrowed.
        let out = unsafe {
            TensorMut::from_raw(whole.address(), dtype, &shape, &strides, whole.location())?
        };
        let args = Forward {
            hidden,
            kv_cache: self.cache.view_mut(dtype, &[BLOCKS, BLOCK_SIZE, 1, D_K])?,
            rope: self.rope.view(DType::F32, &[POSITIONS, ROPE_PAIRS, 2])?,
            scratch: &mut self.scratch,
            out,
        };
        self.layer.forward(&self.planner, plan, self.stream.as_ref(), args)
    }

    /// The output of a step of `tokens` tokens, by its bits; nothing else may have been written. Forgets it.
    pub fn output(&mut self, tokens: usize) -> Result<Vec<u16>> {
        self.stream.synchronize()?;
        let out = self.out.snapshot()?;
        self.out.refill()?;
        let rows = (0..self.tokens).flat_map(|token| out.row([token, 0]).iter().copied());
        let rows: Vec<u16> = rows.collect();
        let (written, rest) = rows.split_at(tokens * self.layer.config().hidden_size);
        ensure!(rest.iter().all(|&bits| bits == 0xffff), "rows of no token were written");
        Ok(written.to_vec())
    }

    /// Runs the layer on random hidden states of the last `s_q` tokens of each request.
    pub fn step(&mut self, requests: &[&Sequence], s_q: usize, seed: u64) -> Result<Vec<u16>> {
        let tokens = requests.len() * s_q;
        self.set_hidden(tokens, seed)?;
        let plan = self.plan(requests, s_q)?;
        self.forward(&plan)?;
        self.output(tokens)
    }
}

fn rows(tokens: usize, width: usize) -> Layout<2> {
    Layout { shape: [tokens, width], strides: [width + GAP, 1] }
}
