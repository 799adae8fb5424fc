//! Dense decode with FP8 math, over a cache of `Planar644`: codes of Q times codes of K, P in e4m3 times the same codes.
//!
//! Schedule, walk, masks, epilogue and merge are those of the [dense kernel](super::dense), and so is the division of
//! labour:
//!
//! ```text
//! producer           transposer         left warpgroup                    right warpgroup
//! TMA codes[j+1], ─► V[j+1] of      ─►  S = Q · K[j]ᵀ          (wgmma)
//! rope, scales;      codes[j+1]         P = softmax(S), factors
//! header                                publish P, factors         ──►    O_right = O_right · factors + P · V_right
//!                                       O_left = O_left · factors + P · V_left
//!              ◄───────────────────     codes free
//!                              ◄─────────────────────────────────────     V free
//! ```
//!
//! A score is `scale of the row · scale of the token · sum over codes`, where the rope parts are divided by the same scales
//! and kept as bf16. P is multiplied by the tokens' scales before it becomes e4m3, so that V is codes alone.

pub mod config;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod barriers;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod exchange;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod keys;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod left;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod output;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod query;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod right;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod transposer;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use keys::Planes;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use super::config::*;
    use super::keys::{Keys, Planes};
    use super::left::Left;
    use super::right::Right;
    use super::{barriers, transposer};
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

    /// The kernel. Queries and output are of type `E`.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn run<E: Element, L: Limits>(
        q: TensorMapAddress,
        kv: Planes,
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
            if warp < PRODUCER_WARP {
                registers::increase::<CONSUMER_REGISTERS>();
                multiply::<E, L>(params, &tile, shared);
                merge::run::<E>(params, &tile, Sinks::NONE, DESK.at(shared));
            } else {
                registers::decrease::<TRANSPOSER_REGISTERS>();
                let box_rows = params.paging.box_rows;
                if warp == PRODUCER_WARP {
                    let keys = Keys::new(kv, box_rows);
                    producer::run::<L, _>(q, keys, params, &tile, part, shared);
                } else {
                    // While the first codes are on their way.
                    let (index, requests) = (warp - TRANSPOSER_WARP, Cached::<L>::new(params));
                    merge::clear_empty_requests::<E, _>(&requests, &tile, part, index);
                    transposer::run(shared, box_rows);
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
    unsafe fn multiply<E: Element, L: Limits>(
        params: &DenseDecodeParams,
        tile: &Tile,
        shared: u32,
    ) {
        let is_left = special::warp() < RIGHT_WARP;
        let (mut left, mut right, limits) = (Left::new(), Right::new(), L::new(tile));
        loop {
            // SAFETY: zero bits are 0.0; warpgroups are converged.
            unsafe {
                let mut o: Acc256 = core::mem::zeroed();
                let (header, normaliser, log2_sum) = if is_left {
                    let (header, result) = left.piece::<E, L>(params, &limits, shared, &mut o);
                    (header, result.normaliser, Some(result.log2_sum))
                } else {
                    let (header, normaliser) = right.piece(shared, &mut o);
                    (header, normaliser, None)
                };
                if header.is_end() {
                    break;
                }
                let first_column = if is_left { 0 } else { D_LATENT / 2 };
                let piece = epilogue::Piece { request: header.request, slot: header.slot() };
                // Hidden from the compiler, which would keep what follows from it in registers from piece to piece.
                let mut tile = *tile;
                tile.first_row = registers::opaque(tile.first_row);
                epilogue::store::<E>(params, &tile, &piece, first_column, &o, normaliser, log2_sum);
            }
        }
    }
}
