//! Sparse attention: every query token attends to tokens of the cache that a list of its own names.
//!
//! A list holds tokens of the cache by number, `block · block_size + offset`, in any order. There is no block table: an
//! indexer, as DeepSeek-V3.2 has one, has looked it up.
//!
//! - [`sparse_decode`] is for few query tokens: their lists are split among all multiprocessors, as a [`SparsePlanner`]
//!   plans it, and merged.
//! - [`sparse_prefill`] is for many: each list is one CTA's for every 64 heads, and there is nothing to plan.
//!
//! Query tokens are one axis. `[batch, s_q, …]` without gaps is `[batch · s_q, …]`.

mod cached;
mod checks;
#[cfg(any(feature = "cuda", test))]
mod gpu_layout;
#[cfg(feature = "cuda")]
mod launch;
mod planner;

pub(crate) use cached::CachedRows;
pub(crate) use checks::Problem;
pub use planner::{SparsePlan, SparsePlanner, SparsePlannerConfig, SparseStep};

use crate::backend::cpu;
#[cfg(feature = "sim")]
use crate::backend::sim;
use crate::cache::CacheFormat;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::stream::StreamRef;
use crate::tensor::{TensorMut, TensorRef};

/// What query tokens attend to in one cache.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// The cache, bf16: `[blocks, block_size, 1, d_qk]`, of blocks of any size; an array of rows is one block,
    /// `[1, rows, 1, d_qk]`. Or bytes of an FP8 format, whose elements count as [`gather`](crate::cache::gather()) gives
    /// them in bf16: `[blocks, block_size, 1, 656]` for queries of 576 dimensions, `[blocks, block_size, 1, 584]` for
    /// those of 512, each block as [`Fp8Format`](crate::cache::Fp8Format) has one of its size. Rows that no index names
    /// may hold anything, NaN included.
    pub kv_cache: TensorRef<'a>,
    /// Which of its tokens each query token attends to: `[tokens, topk] i32`, `block · block_size + offset`. An index
    /// that is negative, or that no token of the cache has, names nothing; a token that is named twice counts twice.
    pub indices: TensorRef<'a>,
    /// How many of its indices count for each query token, the first of them: `[tokens] i32`. Less than 0 is 0, more than
    /// `topk` is all. `None` is all for every token.
    pub lengths: Option<TensorRef<'a>>,
}

/// The tensors of one layer's sparse attention, all on one device.
#[derive(Debug)]
pub struct SparseAttention<'a> {
    /// Queries, bf16: `[tokens, h_q, d_qk]`. `d_qk` is 576, of which the first 512 dimensions of a cached token are its
    /// value, or 512, of which all are.
    pub q: TensorRef<'a>,
    /// What they attend to.
    pub selection: Selection<'a>,
    /// What they attend to in a second cache, which has its own block size; of the same type.
    pub extra: Option<Selection<'a>>,
    /// A score for each head that takes its share of the softmax and has no value: `[h_q] f32`, added to no LSE. The
    /// output is multiplied by `exp(lse) / (exp(lse) + exp(sink))`: +∞ makes it 0, −∞ changes nothing.
    pub sink: Option<TensorRef<'a>>,
    /// The output, bf16: `[tokens, h_q, 512]`. 0 for a query token that attends to nothing.
    pub out: TensorMut<'a>,
    /// Natural logarithm of the sum of exponentials of the scaled scores: `[tokens, h_q] f32`. −∞ for a query token that
    /// attends to nothing.
    pub lse: TensorMut<'a>,
    /// By what scores are multiplied before the softmax.
    pub softmax_scale: f32,
}

/// Attends from few query tokens to what their indices name.
///
/// On the CPU the result is there when the call returns. On a GPU the call starts the work in the order of `stream` and
/// returns: it allocates nothing and waits for nothing, and can be captured in a graph, which then follows indices and
/// lengths that change. The tensors must stay until the stream has done the work.
///
/// A GPU follows strides as far as its loads can: the innermost axes of `q`, `out`, caches and indices contiguous, also
/// lengths and sink; addresses of `q`, `out` and caches and all their strides multiples of 16 bytes, but for that from token to token of an FP8 cache. The CPU follows any,
/// and so does the simulator.
///
/// # Errors
/// - [`PlanOfAnotherPlanner`](crate::Error::PlanOfAnotherPlanner).
/// - [`LocationMismatch`](crate::Error::LocationMismatch) if a tensor or the stream is of another device.
/// - [`DTypeMismatch`](crate::Error::DTypeMismatch), [`RankMismatch`](crate::Error::RankMismatch),
///   [`ShapeMismatch`](crate::Error::ShapeMismatch) if a tensor is not what its field says, or is not of the plan;
///   [`UnsupportedQueryWidth`](crate::Error::UnsupportedQueryWidth).
/// - [`UnknownFormat`](crate::Error::UnknownFormat) if a cache is of bytes, and a token has none of 656, 644 and 584.
/// - [`NoKernel`](crate::Error::NoKernel) over an FP8 cache of 644 bytes a token.
/// - [`OutOfRange`](crate::Error::OutOfRange) if there are more tokens, heads or indices than kernels can count.
/// - [`Misaligned`](crate::Error::Misaligned), [`MisalignedStride`](crate::Error::MisalignedStride),
///   [`StrideMismatch`](crate::Error::StrideMismatch), [`OutOfRange`](crate::Error::OutOfRange) if the device cannot follow
///   its layout.
/// - [`InvalidScale`](crate::Error::InvalidScale).
///
/// All of these and [`Simulation`](crate::Error::Simulation) leave the output as it was;
/// [`Driver`](crate::Error::Driver) may not.
pub fn sparse_decode(
    planner: &SparsePlanner,
    plan: &SparsePlan,
    stream: StreamRef<'_>,
    args: SparseAttention<'_>,
) -> Result<()> {
    planner.check_plan(plan)?;
    let problem = checks::check(planner.device(), stream, &args, None)?;
    plan.check(&problem)?;
    match planner.device() {
        Device::Cpu(backend) => cpu::sparse::attend(*backend, &problem, &args, None),
        #[cfg(feature = "sim")]
        Device::Sim(simulator) => sim::sparse::decode(*simulator, plan, &problem, &args)?,
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => {
            gpu_layout::check(&args)?;
            launch::decode(device, planner, plan, stream, &args)?;
        }
    }
    Ok(())
}

/// Attends from many query tokens to what their indices name, and writes the largest scaled score of each row to
/// `max_logits`, `[tokens, h_q] f32`, if it is given: −∞ for a query token that attends to nothing.
///
/// Else as [`sparse_decode`].
///
/// # Errors
/// As for [`sparse_decode`]; [`NoKernel`](crate::Error::NoKernel) over an FP8 cache, of which
/// [`gather`](crate::cache::gather()) makes bf16 rows.
pub fn sparse_prefill(
    device: &Device,
    stream: StreamRef<'_>,
    args: SparseAttention<'_>,
    max_logits: Option<TensorMut<'_>>,
) -> Result<()> {
    let max_logits = max_logits.as_ref();
    let problem = checks::check(device, stream, &args, max_logits)?;
    if let CacheFormat::Fp8(_) = problem.format {
        let operation = "sparse prefill over an FP8 cache";
        return Err(Error::NoKernel { operation, device: device.name().to_owned() });
    }
    match device {
        Device::Cpu(backend) => cpu::sparse::attend(*backend, &problem, &args, max_logits),
        #[cfg(feature = "sim")]
        Device::Sim(simulator) => sim::sparse::prefill(*simulator, &problem, &args, max_logits)?,
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => {
            gpu_layout::check(&args)?;
            launch::prefill(device, stream, &args, max_logits)?;
        }
    }
    Ok(())
}
