//! Kernels of the FP8 formats: append quantises, gather dequantises. Blocks are copied by [`copy`](super::copy), which
//! asks for no format.
//!
//! A warp has a token, as in the kernels of 16-bit elements, and its lanes the same shares: elements `8 · lane..` and
//! `256 + 8 · lane..`, so that loads and stores are of neighbours. What is stored depends on the elements alone, bit by
//! bit: `quantise.rs` has the arithmetic.

pub mod append;
mod format;
pub mod gather;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod quantise;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod scales;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(crate) use quantise::{finite, scale_of};
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(crate) use scales::inverse;

pub use format::{
    Format, Fp8Format, LARGEST, LEAST_SCALE, Layout, Paged584, Planar644, ScaleType, Token656,
};
