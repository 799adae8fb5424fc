//! Decode attention: few query tokens per request, against everything the request has cached.
//!
//! `schedule` divides the cached tokens among CTAs, `walk` follows it on the device; `dense` computes each
//! piece, `dense_fp8` does so over a cache in FP8, `fp8_math` with multiplies in FP8, `sparse` over tokens that lists name, `sparse_fp8` both; `merge` brings the pieces of requests together that were split, at the end of the same kernel.

use crate::abi::Rows;

pub mod dense;
pub mod dense_fp8;
pub mod fp8_math;
pub mod merge;
pub mod pair;
pub mod schedule;
pub mod sparse;
pub mod sparse_fp8;

/// The kernels for dense decode. Both take the same parameters, and compute the same but for the order of additions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// [`dense`]: a CTA computes a tile of query rows.
    Dense,
    /// [`pair`]: two CTAs compute two tiles together.
    Pair,
}

impl Variant {
    /// Whether the kernel can compute `rows`.
    #[must_use]
    pub const fn accepts(self, rows: &Rows) -> bool {
        match self {
            Self::Dense => true,
            // The tiles of a pair attend to the same KV head.
            Self::Pair => rows.tiles_per_group.is_multiple_of(pair::config::CTAS),
        }
    }
}

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(crate) mod block_table;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(crate) mod header;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(crate) mod output;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(crate) mod producer;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(crate) mod ring;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(crate) mod tail;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(crate) mod walk;
