//! The paged latent cache: who owns which block, and the memory itself.
//!
//! [`BlockPool`], [`Sequence`] and [`BlockTable`] are bookkeeping on the host; [`LatentCache`] is the memory
//! of one layer. One pool serves all layers: block `n` of a sequence is block `n` of every layer's cache.
//! [`append`](append()), [`gather`](gather()) and [`copy_blocks`](copy_blocks()) move rows of it in the order of a
//! stream.
//!
//! Tokens are rows of bf16 or f16, or the bytes of an [`Fp8Format`]: 0.57 or 0.51 of them. `docs/fp8-cache.md` describes
//! both byte by byte.
//!
//! # Scheduling
//! A runtime that asks first never runs out of blocks in the middle of a step:
//! - [`BlockPool::blocks_to_append`] says what the running sequences need for the next steps;
//! - [`BlockPool::admit`] takes in a new request only if that stays available, and finds what is cached of its
//!   prompt if the pool was made [`with_prefix_index`](BlockPool::with_prefix_index);
//! - [`BlockPool::can_append`] says whether the next step fits. If not, the runtime frees a sequence; what it had
//!   [published](BlockPool::publish) is found again when the request comes back, unless it was needed meanwhile;
//! - [`BlockPool::append_all`] makes room for the step in all sequences or in none.

mod admission;
mod append;
pub(crate) mod checks;
mod copy;
mod gather;
#[cfg(feature = "cuda")]
pub(crate) mod gpu_layout;
mod growth;
mod latent;
mod layout;
mod pool;
mod prefix;
mod runs;
mod sequence;
mod table;

pub use admission::Admission;
pub use append::{AppendRows, Scales, append};
pub use copy::{CopyBlocks, copy_blocks};
pub use gather::{GatherRows, gather};
pub use growth::{Append, BlockCopy};
pub use latent::LatentCache;
pub(crate) use layout::check_block_size;
pub use layout::{BLOCK_SIZE, BLOCK_SIZES, CacheFormat, CacheLayout};
pub use oxmla_kernels::cache::fp8::Fp8Format;
pub use pool::BlockPool;
pub(crate) use runs::{Place, Run, index_at};
pub use sequence::{Sequence, Slot};
pub use table::BlockTable;
pub(crate) use table::checked_blocks;

pub use crate::norm::RmsNorm;
