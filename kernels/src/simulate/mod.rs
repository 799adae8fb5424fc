//! The kernels in the SIMT machine.
//!
//! [`entry`] has the entry points, for a launch of one's own; [`DenseDecode`] is a whole decode step over host
//! memory, launched as on the device, [`SparseStep`] one of sparse attention, and [`AppendRows`], [`GatherRows`] and [`CopyBlocks`] are the launches that
//! move cached rows, [`Gemm`] is a matrix product, and [`NormRows`] normalises rows.

mod cache;
mod cached;
pub mod entry;
mod gemm;
pub mod micro;
mod norm;
mod sparse;
mod step;

pub use cache::{AppendRows, CacheFormat, CopyBlocks, GatherRows};
pub use cached::CachedTokens;
pub use gemm::{Gemm, Strides, TurnedRows};
pub use norm::NormRows;
pub use oxmla_simt::{Launch, Timing};
pub use sparse::{Listed, SparseCache, SparseStep, SparseWork};
pub use step::{DenseDecode, ElementType, Error};
