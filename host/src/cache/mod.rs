//! The paged latent cache: who owns which block, and the memory itself.
//!
//! [`BlockPool`], [`Sequence`] and [`BlockTable`] are bookkeeping on the host; [`LatentCache`] is the memory
//! of one layer. One pool serves all layers: block `n` of a sequence is block `n` of every layer's cache.

mod latent;
mod layout;
mod pool;
mod sequence;
mod table;

pub use latent::LatentCache;
pub use layout::{BLOCK_SIZE, CacheLayout};
pub use pool::{Append, BlockCopy, BlockPool};
pub use sequence::{Sequence, Slot};
pub use table::BlockTable;
pub(crate) use table::checked_blocks;
