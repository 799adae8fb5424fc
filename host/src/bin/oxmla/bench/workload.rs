//! The tensors of a configuration.

use oxmla::{
    BlockTable, Buffer, CacheLayout, DType, Decode, DecodePlan, Device, LatentCache, Mask, MlaDims,
    Planner, PlannerConfig, Result, Step, Stream, decode,
};
use oxmla_bench::Work;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

use super::case::Case;
use super::tokens;
use crate::elements::{self, Rng};

/// Bytes of all caches together that calls back to back go through, so that none finds its own in the L2.
const ROTATED_BYTES: usize = 1_500_000_000;
/// As FlashMLA's benchmark has it: `1 / sqrt(576)`.
const SOFTMAX_SCALE: f32 = 1.0 / 24.0;
/// Random elements that tensors are tiled with: 4,096 rows.
const TILE_ELEMENTS: usize = 4096 * 576;

/// One planned decode call, with as many caches as it takes to rotate.
pub struct Workload {
    planner: Planner,
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "planning is timed with GPUs"))]
    table: BlockTable,
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "planning is timed with GPUs"))]
    mask: Mask,
    plan: DecodePlan,
    softcap: Option<f32>,
    caches: Vec<LatentCache>,
    q: Buffer,
    out: Buffer,
    lse: Buffer,
    shape: Shape,
    /// What the call has to do.
    pub work: Work,
    /// Cached tokens of all requests.
    pub tokens: u64,
}

#[derive(Clone, Copy)]
struct Shape {
    dtype: DType,
    batch: usize,
    s_q: usize,
    dims: MlaDims,
}

impl Workload {
    /// Allocates and fills everything; the plan is made on `stream`.
    pub fn new(device: &Device, stream: &Stream, case: &Case) -> Result<Self> {
        let mut rng = Rng::seed_from_u64(case.seed);
        let lengths = case.lengths();
        let dims = MlaDims::new(case.heads, case.kv_heads)?;
        let shape = Shape { dtype: case.dtype, batch: lengths.len(), s_q: case.s_q as usize, dims };
        let table = shuffled_table(&lengths, case.block_size, &mut rng)?;
        let blocks =
            lengths.iter().map(|&length| blocks_of(length, case.block_size)).sum::<usize>().max(1);
        let config = PlannerConfig {
            dims,
            dtype: case.dtype,
            max_batch: lengths.len(),
            max_blocks_per_sequence: table.max_blocks().max(1),
            max_s_q: case.s_q,
            block_size: case.block_size,
            blocks_in_cache: blocks,
        };
        let mut planner = Planner::new(device, config)?;
        let mask = case.mask();
        let plan = planner.plan(stream.as_ref(), Step::new(&table, case.s_q, mask))?;

        let layout = match case.cache.fp8() {
            None => CacheLayout::new(dims, case.dtype, case.block_size)?,
            Some(format) => CacheLayout::fp8(format, case.block_size)?,
        };
        let tile = tokens::random(layout, case.dtype, &mut rng)?;
        let caches = match device {
            Device::Cpu(_) => 1,
            _ => ROTATED_BYTES.div_ceil(blocks * layout.bytes_per_block()),
        };
        let cache = |_| {
            let mut memory = device.alloc(blocks * layout.bytes_per_block())?;
            fill(&mut memory, &tile)?;
            LatentCache::from_buffer(layout, blocks, memory)
        };
        let mut q = device.alloc(shape.bytes_of_rows(dims.d_qk()))?;
        let tile = elements::random(case.dtype, TILE_ELEMENTS, &mut rng);
        fill(&mut q, bytemuck::cast_slice(&tile))?;
        Ok(Self {
            caches: (0..caches).map(cache).collect::<Result<_>>()?,
            q,
            out: device.alloc(shape.bytes_of_rows(dims.d_v()))?,
            lse: device.alloc(shape.bytes_of_rows(2))?,
            shape,
            work: case.work(&lengths),
            tokens: lengths.iter().map(|&length| length as u64).sum(),
            planner,
            table,
            mask,
            plan,
            softcap: case.softcap,
        })
    }

    /// Caches to rotate through.
    pub fn caches(&self) -> usize {
        self.caches.len()
    }

    /// Parts that the plan divides the work into.
    pub fn parts(&self) -> u32 {
        self.plan.parts()
    }

    /// Plans the same step again.
    #[cfg(feature = "cuda")]
    pub fn plan_again(&mut self, stream: &Stream) -> Result<()> {
        let step = Step::new(&self.table, self.shape.s_q as u32, self.mask);
        self.plan = self.planner.plan(stream.as_ref(), step)?;
        Ok(())
    }

    /// The whole call, over cache number `cache` modulo [`Workload::caches`].
    pub fn decode(&mut self, stream: &Stream, cache: usize) -> Result<()> {
        let (planner, plan, args) = self.arguments(cache)?;
        decode(planner, plan, stream.as_ref(), args)
    }

    fn arguments(&mut self, cache: usize) -> Result<(&Planner, &DecodePlan, Decode<'_>)> {
        let Shape { dtype, batch, s_q, dims } = self.shape;
        let (h_q, d_qk, d_v) = (dims.h_q() as usize, dims.d_qk() as usize, dims.d_v() as usize);
        let args = Decode {
            q: self.q.view(dtype, &[batch, s_q, h_q, d_qk])?,
            kv_cache: self.caches[cache % self.caches.len()].view(),
            out: self.out.view_mut(dtype, &[batch, s_q, h_q, d_v])?,
            lse: self.lse.view_mut(DType::F32, &[batch, h_q, s_q])?,
            softmax_scale: SOFTMAX_SCALE,
            softcap: self.softcap,
        };
        Ok((&self.planner, &self.plan, args))
    }
}

impl Shape {
    /// Bytes of a tensor with `width` two-byte elements for each query token and head.
    const fn bytes_of_rows(&self, width: u32) -> usize {
        self.batch * self.s_q * self.dims.h_q() as usize * width as usize * 2
    }
}

const fn blocks_of(length: i32, block_size: usize) -> usize {
    (length as usize).div_ceil(block_size)
}

/// A block table in which no request has its blocks in order.
fn shuffled_table(lengths: &[i32], block_size: usize, rng: &mut Rng) -> Result<BlockTable> {
    let blocks: usize = lengths.iter().map(|&length| blocks_of(length, block_size)).sum();
    let mut ids: Vec<i32> = (0..blocks as i32).collect();
    ids.sort_by_cached_key(|_| rng.next_u64());
    let mut rest = ids.as_slice();
    let rows = lengths.iter().map(|&length| {
        let (row, behind) = rest.split_at(blocks_of(length, block_size));
        rest = behind;
        row
    });
    let rows: Vec<_> = rows.collect();
    BlockTable::from_rows_of(block_size, lengths, &rows)
}

/// Repeats `tile` over the whole buffer: doubles what is there, on the device.
pub fn fill(buffer: &mut Buffer, tile: &[u8]) -> Result<()> {
    let size = buffer.len_bytes();
    let mut filled = tile.len().min(size);
    buffer.write(0, &tile[..filled])?;
    while filled < size {
        let more = filled.min(size - filled);
        buffer.copy_within(0, filled, more)?;
        filled += more;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_in_the_table_once() {
        let mut rng = Rng::seed_from_u64(1);
        let table = shuffled_table(&[1000, 0, 64, 65], 64, &mut rng).unwrap();
        let mut ids: Vec<_> = table.ids().iter().copied().filter(|&id| id != i32::MAX).collect();
        assert!(!ids.is_sorted());
        ids.sort_unstable();
        assert_eq!(ids, (0..16 + 1 + 2).collect::<Vec<_>>());
    }

    #[test]
    fn tiles_cover_the_buffer() {
        for size in [0, 1, 3, 4, 7, 29] {
            let mut buffer = Device::cpu().alloc(size).unwrap();
            fill(&mut buffer, &[1, 2, 3]).unwrap();
            let mut bytes = vec![0; size];
            buffer.read(0, &mut bytes).unwrap();
            let expected: Vec<u8> = [1, 2, 3].into_iter().cycle().take(size).collect();
            assert_eq!(bytes, expected);
        }
    }
}
