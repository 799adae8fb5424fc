//! Kernels that move rows of the paged latent cache: a step's new tokens into it, whole blocks inside it, cached
//! tokens out of it.
//!
//! All three are bound by memory, or, when there is little to move, by the length of the longest chain of loads
//! that depend on each other. So a row has one warp, which asks for everything that it knows the address of
//! before it waits for anything, and code is short and straight: a short kernel mostly waits for its own
//! instructions.
//!
//! Lengths, offsets and block ids come from the device's memory, where the host cannot check them. A row whose
//! request, position or block does not exist is left out; nothing is read or written outside.

pub mod abi;
pub mod append;
pub mod copy;
pub mod fp8;
pub mod gather;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod place;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod row;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod token;

/// Warps of a CTA, each with a row. With fewer, a multiprocessor gets CTAs more slowly than it copies rows.
pub const WARPS: u32 = 8;
/// Threads per CTA of the kernels with a warp per row.
pub const THREADS: u32 = 32 * WARPS;
/// CTAs that must fit on a multiprocessor: 48 warps, of which each has 1.1 KB under way, where 1 µs of DRAM
/// latency at 3.35 TB/s asks for 25 KB in all.
pub const CTAS_PER_SM: u32 = 6;

/// CTAs for `rows` rows: `gridDim.x`.
#[must_use]
pub const fn ctas(rows: u32) -> u32 {
    rows.div_ceil(WARPS)
}
