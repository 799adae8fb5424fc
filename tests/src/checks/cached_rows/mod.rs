//! Rows that go into the cache, out of it, and about in it.

mod append;
mod blocks;
#[cfg(feature = "gpu")]
mod host_path;
mod step;

pub use append::{new_rows, rows_of_a_plan, rows_without_a_place};
pub use blocks::{copied_blocks, gathered_rows};
#[cfg(feature = "gpu")]
pub use host_path::allocations;
pub use step::upload_bits;
