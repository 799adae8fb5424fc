//! Multi-head latent attention (MLA) for NVIDIA Hopper GPUs, and for machines without one, in Rust alone.
//!
//! MLA keeps one row of 576 elements per token, whatever the number of heads: 512 compressed ("latent") ones,
//! which are key and value of all heads at once, and 64 rotary ones. Decoding reads that cache for one or a
//! few query tokens per request. This crate keeps the cache in blocks of 16 to 128 tokens, plans a step, and runs it
//! on tensor cores; or, with the same calls and the same results, on a CPU.
//!
//! ```
//! use half::bf16;
//! use oxmla::*;
//!
//! # fn main() -> oxmla::Result<()> {
//! let device = Device::best(); // a Hopper GPU if there is one, else the CPU
//! let dims = MlaDims::deepseek_v3(); // 128 heads
//! let layout = CacheLayout::new(dims, DType::Bf16, BLOCK_SIZE)?;
//! let mut pool = BlockPool::new(32)?; // one for all layers
//! let mut cache = LatentCache::new(&device, layout, 32)?; // one per layer
//! let mut request = pool.sequence();
//! let tokens = pool.append(&mut request, 1000)?.positions;
//! cache.write_rows(&request, tokens, &vec![bf16::ONE; 1000 * 576])?;
//!
//! let mut planner = Planner::new(&device, PlannerConfig { dims, dtype: DType::Bf16,
//!     max_batch: 1, max_blocks_per_sequence: 32, max_s_q: 1, block_size: BLOCK_SIZE,
//!     blocks_in_cache: 32 })?;
//! let (stream, table) = (device.stream()?, BlockTable::from_sequences(&[&request])?);
//! let plan = planner.plan(stream.as_ref(), Step::new(&table, 1, Mask::Causal))?; // once per step
//!
//! let q = device.upload(&[bf16::ONE; 128 * 576])?;
//! let (mut out, mut lse) = (device.alloc(128 * 512 * 2)?, device.alloc(128 * 4)?);
//! decode(&planner, &plan, stream.as_ref(), Decode { // once per layer
//!     q: q.view(DType::Bf16, &[1, 1, 128, 576])?, kv_cache: cache.view(),
//!     out: out.view_mut(DType::Bf16, &[1, 1, 128, 512])?,
//!     lse: lse.view_mut(DType::F32, &[1, 128, 1])?,
//!     softmax_scale: 192f32.sqrt().recip(), softcap: None })?;
//! stream.synchronize()?;
//! assert_eq!(out.to_vec::<bf16>()?, [bf16::ONE; 128 * 512]);
//! # Ok(())
//! # }
//! ```
//!
//! # One step
//! 1. [`BlockPool::append`] gives each request room for its new tokens; their rows go into every layer's
//!    cache: from the device's memory by [`cache::append`](cache::append()), after [`Planner::plan`] and before
//!    [`decode`]; from the host's by [`LatentCache::write_rows`]; or by the runtime's own kernel.
//! 2. [`Planner::plan`] checks lengths and block table, and puts them where the kernels find them.
//! 3. [`decode`] runs once per layer with the same [`DecodePlan`]. On a GPU it allocates nothing and waits for
//!    nothing, so that it can be captured in a graph.
//!
//! Where an indexer has chosen what each query token attends to, as in DeepSeek-V3.2, [`sparse`] has
//! [`sparse_decode`] and [`sparse_prefill`], over blocks of any size.
//!
//! The driver compiles the GPU's kernels, a [`Family`] at a time, when a planner, a cache or a workspace is made that they
//! are for: make these before the first step, and before a capture. See [`Device::load`].
//!
//! # Memory and streams of others
//! Runtimes that manage their own memory hand it over with [`TensorRef::from_raw`] and [`TensorMut::from_raw`],
//! and their streams with [`StreamRef::from_raw`]. Nothing is copied; the primary context of the GPU is used.
//! Those of cudarc come in without raw addresses: feature `cudarc`, [`interop`].
//!
//! # Threads
//! - Every type may be moved to another thread and be dropped there. No thread needs a current context, and none has
//!   another one after a call than before; see [`backend::cuda::CudaDevice`].
//! - [`Device`], [`Stream`], [`StreamRef`], [`DecodePlan`] and views may be used by several threads at once, and so may
//!   a [`Planner`] in [`decode`]. Calls of several threads on one stream are done one after the other.
//! - What changes something on the host takes `&mut`: [`Planner::plan`], [`BlockPool`], [`Sequence`]. A pool that
//!   threads share is behind a lock of theirs.
//! - A planner's workspace is one step's: threads that decode at once on streams of their own have planners of their
//!   own.
//!
//! # Semantics
//! - Shapes are written outermost axis first, `[batch, s_q, h_q, 576]`; strides are in elements, sizes in bytes.
//! - With [`Mask::Causal`], query token `i` of `s_q` sees the first `length − (s_q − 1 − i)` cached tokens; behind
//!   a sliding window ([`Mask::within`]) the last `tokens` of these.
//! - The LSE is the natural logarithm of the sum of exponentials of scaled scores. A query token that sees
//!   nothing has output 0 and LSE −∞, which is what merging partial results wants.
//! - Sums are in f32. Probabilities are rounded to the element type before they multiply values on a GPU.
//! - Two runs of the same step on the same device agree bit by bit.
//! - What lies in the cache beyond a request's tokens has no influence, be it NaN.
//! - A refused call has changed nothing; see [`Error`].
//!
//! # Features
//! - `cuda` (default): GPUs. Neither building nor starting needs CUDA to be installed: without a driver,
//!   [`Device::cuda`] is [`Error::NoDriver`].
//! - `cudarc`: [`interop::cudarc`], which takes cudarc's streams and memory.
//! - `sim`: the simulator, [`Device::simulator`], which runs the GPU's kernels on the CPU and finds what is wrong
//!   with them.
//! - `checkpoint`: [`checkpoint`], which loads [`layer`]s from Hugging Face checkpoints.
//! - `cli`: the command line, `oxmla`; has `sim`.

mod attention;
pub mod backend;
mod buffer;
pub mod cache;
mod check;
#[cfg(feature = "checkpoint")]
pub mod checkpoint;
mod device;
mod dims;
mod dtype;
mod e4m3;
mod error;
pub mod gemm;
#[cfg(feature = "cudarc")]
pub mod interop;
pub mod layer;
pub mod norm;
pub mod plan;
mod rope;
pub mod sparse;
mod stream;
mod tensor;

pub use attention::{Decode, decode};
pub use backend::cpu::Precision;
pub use buffer::Buffer;
pub use cache::{
    Admission, Append, BLOCK_SIZE, BlockCopy, BlockPool, BlockTable, CacheLayout, LatentCache,
    Sequence, Slot,
};
pub use device::{Candidate, Device};
pub use dims::{MlaDims, kv_cache_bytes_per_token};
pub use dtype::{DType, Element};
pub use error::{Error, Result};
pub use oxmla_kernels::family::Family;
pub use plan::{DecodePlan, Mask, Planner, PlannerConfig, Step, Variant};
pub use rope::{ROPE_PAIRS, Rope, Yarn};
pub use sparse::{
    Selection, SparseAttention, SparsePlan, SparsePlanner, SparsePlannerConfig, SparseStep,
    sparse_decode, sparse_prefill,
};
pub use stream::{Stream, StreamRef};
pub use tensor::{Location, Shape, TensorMut, TensorRef};

/// What a runtime may move to, and share between, its threads.
#[cfg(test)]
mod tests {
    use super::*;

    const fn is_send<T: Send>() {}
    const fn is_sync<T: Sync>() {}

    #[test]
    fn threads() {
        is_send::<Planner>();
        is_sync::<Planner>();
        is_send::<DecodePlan>();
        is_sync::<DecodePlan>();
        is_send::<LatentCache>();
        is_sync::<LatentCache>();
        is_send::<Buffer>();
        is_sync::<Buffer>();
        is_send::<Stream>();
        is_sync::<Stream>();
        is_send::<StreamRef<'_>>();
        is_sync::<StreamRef<'_>>();
        is_send::<TensorRef<'_>>();
        is_sync::<TensorRef<'_>>();
        is_send::<TensorMut<'_>>();
        is_send::<BlockPool>();
        is_sync::<BlockPool>();
        is_send::<Sequence>();
        is_send::<Device>();
        is_sync::<Device>();
        is_send::<Error>();
        is_sync::<Error>();
    }
}
