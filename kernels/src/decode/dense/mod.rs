//! Dense decode: every cached token of a request, through the tensor cores.
//!
//! A CTA holds one tile of 64 query rows and walks over its part of the schedule. For each block of 64
//! tokens, with one 64 × 576 copy of K in shared memory that also serves as V (its first 512 columns):
//!
//! ```text
//! producer            left warpgroup                      right warpgroup
//! TMA K[j+1]  ──►     S = Q · K[j]ᵀ          (wgmma)
//!                     P = softmax(S), factors
//!                     O_left = O_left · factors + P · V_left
//!                     publish P, factors     ──►          O_right = O_right · factors + P · V_right
//!             ◄──     left tiles free                     right tiles free
//! ```
//!
//! The left warpgroup publishes while its own update multiplies, and queues the scores of the next block behind
//! it without waiting, so that the tensor cores idle only during the softmax; the right warpgroup's update runs
//! beside them. This is the division of labour of FlashAttention-3's MLA path; the output (64 × 512 f32) takes
//! half of the register file and cannot be held twice.

pub mod config;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod barriers;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod left;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod producer;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod right;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod tail;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use super::config::{CONSUMER_REGISTERS, PRODUCER_REGISTERS, WARPGROUP};
    use super::{barriers, left, producer, right};
    use crate::abi::DenseDecodeParams;
    use crate::attention::rows::Tile;
    use crate::decode::walk::Walk;
    use crate::ptx::tma::TensorMapAddress;
    use crate::ptx::{registers, shared, special};
    use crate::tile::element::Element;

    /// The kernel.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn run<E: Element>(
        q: TensorMapAddress,
        kv: TensorMapAddress,
        params: &DenseDecodeParams,
    ) {
        let shared = shared::base();
        // SAFETY: every thread of the CTA is here, and nobody has used the barriers.
        unsafe { barriers::init(shared) };

        let tile = Tile::new(params, special::cta_x());
        // SAFETY: whole warps take each branch; the launcher vouches for the parameters.
        unsafe {
            let part = special::cta_y();
            let warp = special::warp();
            match warp / (WARPGROUP / 32) {
                0 => {
                    registers::increase::<CONSUMER_REGISTERS>();
                    left::run::<E>(params, &tile, Walk::new(params, part), shared);
                }
                1 => {
                    registers::increase::<CONSUMER_REGISTERS>();
                    right::run::<E>(params, &tile, Walk::new(params, part), shared);
                }
                _ => {
                    registers::decrease::<PRODUCER_REGISTERS>();
                    if warp.is_multiple_of(WARPGROUP / 32) {
                        producer::run(q, kv, params, &tile, Walk::new(params, part), shared);
                    }
                }
            }
        }
    }
}
