//! Rows that go into the cache, out of it, and about in it.

mod append;
mod blocks;
mod step;

pub use append::{new_rows, rows_of_a_plan, rows_without_a_place};
pub use blocks::{copied_blocks, gathered_rows};
