//! Dense decode: every cached token of a request, through the tensor cores.
//!
//! A CTA holds one tile of 64 query rows and walks over its part of the schedule. For each block of 64
//! tokens, with one 64 × 576 copy of K in shared memory that also serves as V (its first 512 columns):
//!
//! ```text
//! producer            left warpgroup                      right warpgroup
//! TMA K[j+1], ──►     S = Q · K[j]ᵀ          (wgmma)
//! header
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
//!
//! The producer alone follows the schedule. What the others need to know of a block stands in its header; at the end
//! of a piece both store their half of the result, by the same code, and at the end of all pieces they merge the
//! requests that this CTA shares with others ([`super::merge`]).

pub mod config;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) mod barriers;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) mod blocks;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod left;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) mod math;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) mod producer;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod right;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) use device::multiply;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) use {left::store_row_factors, right::load_row_factors};

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use super::barriers;
    use super::blocks::{Blocks, Consecutive};
    use super::config::*;
    use super::left::Left;
    use super::math::{AsCached, Math};
    use super::producer::{Elements, Stages};
    use super::right::Right;
    use crate::abi::DenseDecodeParams;
    use crate::attention::epilogue;
    use crate::attention::limits::Limits;
    use crate::attention::rows::Tile;
    use crate::attention::sink::Sinks;
    use crate::decode::walk::Cached;
    use crate::decode::{merge, producer};
    use crate::ptx::tma::TensorMapAddress;
    use crate::ptx::wgmma::Acc256;
    use crate::ptx::{registers, shared, special};
    use crate::tile::element::Element;

    /// The kernel.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn run<E: Element, L: Limits>(
        q: TensorMapAddress,
        kv: TensorMapAddress,
        params: &DenseDecodeParams,
    ) {
        let shared = shared::base();
        // SAFETY: every thread of the CTA is here, and nobody has used the barriers.
        unsafe { barriers::init::<1>(shared) };

        let tile = Tile::new(params, special::cta_x());
        // SAFETY: whole warps take each branch; the launcher vouches for the parameters.
        unsafe {
            let part = special::cta_y();
            let warp = special::warp();
            if warp < PRODUCER_WARP {
                registers::increase::<CONSUMER_REGISTERS>();
                let blocks = Consecutive::<L>::new(params, &tile);
                multiply::<AsCached<E>, _>(params, &tile, &blocks, shared);
                merge::run::<E>(params, &tile, Sinks::NONE, DESK.at(shared));
            } else {
                registers::decrease::<PRODUCER_REGISTERS>();
                if warp == PRODUCER_WARP {
                    let stages = Stages::new(Elements(kv));
                    producer::run::<L, _>(q, stages, params, &tile, part, shared);
                } else {
                    let (index, requests) = (warp - PRODUCER_WARP - 1, Cached::<L>::new(params));
                    merge::clear_empty_requests::<E, _>(&requests, &tile, part, index);
                }
            }
        }
    }

    /// The left and the right warpgroup: a piece at a time, each half of its output, until the producer says that
    /// there is no more.
    ///
    /// # Safety
    /// All eight warps call it, each converged.
    #[inline(always)]
    pub unsafe fn multiply<M: Math, B: Blocks>(
        params: &DenseDecodeParams,
        tile: &Tile,
        blocks: &B,
        shared: u32,
    ) {
        let is_left = special::warp() < RIGHT_WARP;
        let (mut left, mut right) = (Left::<M>::new(tile), Right::new());
        loop {
            // SAFETY: zero bits are 0.0; warpgroups are converged.
            unsafe {
                let mut o: Acc256 = core::mem::zeroed();
                let (header, normaliser, log2_sum) = if is_left {
                    let (header, result) = left.piece(tile, blocks, shared, &mut o);
                    (header, result.normaliser, Some(result.log2_sum))
                } else {
                    let (header, normaliser) = right.piece::<M::Latent, B>(shared, &mut o);
                    (header, normaliser, None)
                };
                if header.is_end() {
                    break;
                }
                let first_column = if is_left { 0 } else { D_LATENT / 2 };
                let slot = if B::SPLITS { header.slot() } else { None };
                let piece = epilogue::Piece { request: header.request, slot };
                epilogue::store::<M::Out>(
                    params,
                    tile,
                    &piece,
                    first_column,
                    &o,
                    normaliser,
                    log2_sum,
                );
            }
        }
    }
}
