//! Sparse attention in the simulator.

use std::ptr;

use oxmla_kernels::abi::Rows;
use oxmla_kernels::simulate::{Listed, SparseCache, SparseStep, SparseWork};

use super::packed::{Packed, Results};
use super::{Simulator, report};
use crate::backend::cpu::memory::HostMemory;
use crate::cache::{CacheFormat, Fp8Format};
use crate::error::{Error, Result};
use crate::sparse::{CachedRows, Problem, Selection, SparseAttention, SparsePlan};
use crate::tensor::{TensorMut, TensorRef};

/// Decode; the arguments have been checked.
pub(crate) fn decode(
    simulator: Simulator,
    plan: &SparsePlan,
    problem: &Problem,
    args: &SparseAttention<'_>,
) -> Result<()> {
    let work = SparseWork::Decode { parts: plan.parts(), cut: plan.cut() };
    run(simulator, problem, args, work)
}

/// Prefill; the arguments have been checked.
pub(crate) fn prefill(
    simulator: Simulator,
    problem: &Problem,
    args: &SparseAttention<'_>,
    max_logits: Option<&TensorMut<'_>>,
) -> Result<()> {
    let tiles = Rows::pack(1, problem.h_q as u32, 1).tiles();
    let parts = super::parts(tiles).clamp(1, problem.tokens.max(1) as u32);
    let mut results = max_logits.map(Results::<f32>::new).transpose()?;
    let maxima = results.as_mut().map(Results::as_mut_slice);
    run(simulator, problem, args, SparseWork::Prefill { parts, max_logits: maxima })?;
    if let (Some(results), Some(max_logits), true) = (results, max_logits, problem.tokens > 0) {
        results.store(max_logits);
    }
    Ok(())
}

fn run(
    simulator: Simulator,
    problem: &Problem,
    args: &SparseAttention<'_>,
    work: SparseWork<'_>,
) -> Result<()> {
    if problem.tokens == 0 {
        return Ok(());
    }
    let q = Packed::new(&args.q)?;
    let packed = |selection| PackedList::new(selection, problem.format);
    let list = packed(&args.selection)?;
    let extra = args.extra.as_ref().map(packed).transpose()?;
    let sink = args.sink.as_ref().map(Packed::<f32>::new).transpose()?;
    let (mut out, mut lse) = (Results::new(&args.out)?, Results::new(&args.lse)?);
    let step = SparseStep {
        tokens: problem.tokens as u32,
        h_q: problem.h_q as u32,
        d_qk: problem.d_qk as u32,
        q: q.as_slice(),
        list: list.listed(),
        extra: extra.as_ref().map(PackedList::listed),
        sink: sink.as_ref().map(Packed::as_slice),
        out: out.as_mut_slice(),
        lse: lse.as_mut_slice(),
        softmax_scale: args.softmax_scale,
        work,
    };
    step.run(|launch| simulator.configure(launch)).map_err(report)?;
    out.store(&args.out);
    lse.store(&args.lse);
    Ok(())
}

/// A cache of elements, or one of bytes.
enum PackedCache<'a> {
    Elements(Packed<'a, u16>),
    Fp8(Fp8Format, AlignedBlocks),
}

/// Blocks of bytes, each of which begins at a multiple of 16.
struct AlignedBlocks {
    bytes: HostMemory,
    stride: usize,
}

impl AlignedBlocks {
    fn new(kv_cache: &TensorRef<'_>) -> Result<Self> {
        let shape = kv_cache.shape();
        let block = shape[1] * shape[3];
        let stride = block.next_multiple_of(16);
        let overflow = Error::SizeOverflow { what: "tensor" };
        let mut bytes = HostMemory::new(shape[0].checked_mul(stride).ok_or(overflow)?)?;
        for (index, to) in bytes.as_mut_slice().chunks_exact_mut(stride.max(1)).enumerate() {
            let from = ptr::with_exposed_provenance(kv_cache.address_at([index]));
            // SAFETY: the block is a part of a checked view of host memory, and without gaps.
            to[..block].copy_from_slice(unsafe { std::slice::from_raw_parts(from, block) });
        }
        Ok(Self { bytes, stride })
    }
}

/// A selection without gaps, its blocks one behind the other.
struct PackedList<'a> {
    cache: PackedCache<'a>,
    rows: CachedRows,
    /// Elements of a token.
    width: usize,
    indices: Packed<'a, i32>,
    lengths: Option<Packed<'a, i32>>,
}

impl<'a> PackedList<'a> {
    fn new(selection: &Selection<'a>, format: CacheFormat) -> Result<Self> {
        let Selection { kv_cache, indices, lengths } = selection;
        Ok(Self {
            cache: match format {
                CacheFormat::Elements(_) => PackedCache::Elements(Packed::new(kv_cache)?),
                CacheFormat::Fp8(format) => PackedCache::Fp8(format, AlignedBlocks::new(kv_cache)?),
            },
            rows: CachedRows::new(kv_cache),
            width: kv_cache.shape()[3],
            indices: Packed::new(indices)?,
            lengths: lengths.as_ref().map(Packed::new).transpose()?,
        })
    }

    fn listed(&self) -> Listed<'_> {
        let CachedRows { blocks, block_size } = self.rows;
        let (cache, block_stride) = match &self.cache {
            PackedCache::Elements(elements) => {
                (SparseCache::Elements(elements.as_slice()), block_size * self.width)
            }
            PackedCache::Fp8(format, AlignedBlocks { bytes, stride }) => {
                (SparseCache::Fp8(*format, bytes.as_slice()), *stride)
            }
        };
        Listed {
            cache,
            block_size: block_size as u32,
            blocks: blocks as u32,
            strides: [block_stride, self.width],
            indices: self.indices.as_slice(),
            lengths: self.lengths.as_ref().map(Packed::as_slice),
        }
    }
}
