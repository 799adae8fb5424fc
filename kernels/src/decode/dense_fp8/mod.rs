//! Dense decode over an FP8 cache of 656 bytes a token, with 16-bit math.
//!
//! The [dense kernel](super::dense) with one role more. The producer brings codes, scales and rope parts, 41 KB a
//! block in the place of 72; the *converter* makes tiles of them; left and right warpgroup, softmax, epilogue and merge are
//! the dense kernel's. The latent tiles are f16, whatever the queries are, and count in a power of two that `unit.rs`
//! chooses: an element costs one instruction.
//!
//! ```text
//! producer              converter                left and right warpgroup
//! TMA codes[j+1], ──►   tiles of K[j+1]    ──►   as in the dense kernel, over K[j]
//! scales, rope;         and their unit
//! header          ◄───────────────────────────   left tiles free, right tiles free
//! ```
//!
//! The codes land in the place of the tiles that become of them, so that two blocks fit into shared memory, as in the
//! dense kernel, and the whole of a block is on its way at once.

pub mod config;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod converter;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) mod dequantise;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) mod math;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod queries;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) mod rope;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) mod slabs;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod source;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) mod unit;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) use converter::{factor_of_tile, hand_over, store_header, two_factors};
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use source::Codes;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use super::config::*;
    use super::converter;
    use super::math::InUnits;
    use super::source::Codes;
    use crate::abi::DenseDecodeParams;
    use crate::attention::limits::Limits;
    use crate::attention::rows::Tile;
    use crate::attention::sink::Sinks;
    use crate::decode::dense::blocks::Consecutive;
    use crate::decode::dense::config::{D_QK, DESK, PRODUCER_WARP, STAGES};
    use crate::decode::dense::producer::Stages;
    use crate::decode::dense::{barriers, multiply};
    use crate::decode::walk::Cached;
    use crate::decode::{merge, producer};
    use crate::ptx::tma::TensorMapAddress;
    use crate::ptx::{mbarrier, registers, shared, special};
    use crate::tile::element::Element;

    /// The kernel. Queries, output and rope parts are of type `E`.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn run<E: Element, L: Limits>(
        q: TensorMapAddress,
        kv: Codes,
        params: &DenseDecodeParams,
    ) {
        let shared = shared::base();
        // SAFETY: every thread of the CTA is here, and nobody has used the barriers.
        unsafe { init(shared) };

        let tile = Tile::new(params, special::cta_x());
        // SAFETY: whole warps take each branch; the launcher vouches for the parameters.
        unsafe {
            let part = special::cta_y();
            let warp = special::warp();
            if warp < PRODUCER_WARP {
                registers::increase::<CONSUMER_REGISTERS>();
                let blocks = Consecutive::<L>::new(params, &tile);
                multiply::<InUnits<E, D_QK, Q_UNITS>, _>(params, &tile, &blocks, shared);
                merge::run::<E>(params, &tile, Sinks::NONE, DESK.at(shared));
            } else {
                registers::decrease::<CONVERTER_REGISTERS>();
                if warp == PRODUCER_WARP {
                    producer::run::<L, _>(q, Stages::new(kv), params, &tile, part, shared);
                } else {
                    // While the first codes are on their way.
                    let (index, requests) = (warp - CONVERTER_WARP, Cached::<L>::new(params));
                    merge::clear_empty_requests::<E, _>(&requests, &tile, part, index);
                    converter::run::<E, L>(shared);
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
                    mbarrier::init(shared + LEFT_LANDED + 8 * i, 1);
                    i += 1;
                }
                mbarrier::init(shared + CODES_READ, CONVERTER_WARPS);
            }
            barriers::init::<CONVERTER_WARPS>(shared);
        }
    }
}
