//! Sparse decode over an FP8 cache, with 16-bit math.
//!
//! The [sparse kernel](super::sparse) for decode, with the numbers of the [dense one over FP8](super::dense_fp8): rows that
//! a list names come as codes, scales and rope parts, 41 KB a block in the place of 72, and become f16 tiles that count in the
//! [unit](super::dense_fp8) of their piece.
//!
//! ```text
//! producer              converter                left and right warpgroup
//! cp.async of     ──►   tiles of K[j+1],   ──►   as in the sparse kernel, over K[j]
//! codes[j+1], …;        and their unit
//! header, mask    ◄───────────────────────────   left tiles free, right tiles free
//! ```
//!
//! Codes, scale and rope part of a token that does not count are filled with zeros, and nothing is read for them: its row is
//! zero, and the mask hides its score.

pub mod config;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod converter;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod place;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod producer;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod rows;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod scale;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use super::config::*;
    use super::{converter, producer};
    use crate::attention::rows::Tile;
    use crate::decode::dense::config::{DESK, PRODUCER_WARP, STAGES, TILE};
    use crate::decode::dense::{barriers, multiply};
    use crate::decode::dense_fp8::math::InUnits;
    use crate::decode::sparse::abi::SparseParams;
    use crate::decode::sparse::{Decode, Listed, Work};
    use crate::ptx::tma::TensorMapAddress;
    use crate::ptx::{mbarrier, registers, shared, special};
    use crate::tile::element::Element;

    /// The kernel, over a cache of format `F`, whose tokens have `D_QK` dimensions. Queries, output and rope parts are of
    /// type `E`.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn run<E: Element, F: Codes, const D_QK: u32>(
        q: TensorMapAddress,
        params: &SparseParams,
    ) {
        const { assert!(E::IS_BF16 && F::TILES * TILE == D_QK) };
        let shared = shared::base();
        // SAFETY: every thread of the CTA is here, and nobody has used the barriers.
        unsafe { init(shared) };

        let tile = Tile::new(&params.decode, special::cta_x());
        // SAFETY: whole warps take each branch; the launcher vouches for the parameters.
        unsafe {
            let part = special::cta_y();
            let warp = special::warp();
            if warp < PRODUCER_WARP {
                registers::increase::<CONSUMER_REGISTERS>();
                let listed = Listed::<Decode, D_QK>::new(params);
                multiply::<InUnits<E, D_QK, Q_UNITS>, _>(&params.decode, &tile, &listed, shared);
                Decode::merge::<E>(params, &tile, DESK.at(shared));
            } else {
                registers::decrease::<CONVERTER_REGISTERS>();
                if warp == PRODUCER_WARP {
                    producer::run::<F>(q, params, &tile, part, shared);
                } else {
                    // While the first codes are on their way.
                    Decode::clear_empty::<E>(params, &tile, part, warp - CONVERTER_WARP);
                    converter::run::<E, F>(shared);
                }
            }
        }
    }

    /// Initialises the mbarriers of the load units, and then those of the dense kernel, which makes all of them visible.
    ///
    /// # Safety
    /// All threads of the CTA call it, first of all.
    #[inline(always)]
    unsafe fn init(shared: u32) {
        // SAFETY: 8-byte aligned, inside shared memory, not yet in use; all threads are here.
        unsafe {
            if special::thread_index() == 0 {
                let mut i = 0;
                while i < 2 * STAGES {
                    mbarrier::init(shared + LEFT_LANDED + 8 * i, LANDINGS);
                    i += 1;
                }
                mbarrier::init(shared + CODES_READ, CONVERTER_WARPS);
            }
            barriers::init::<CONVERTER_WARPS>(shared);
        }
    }
}
