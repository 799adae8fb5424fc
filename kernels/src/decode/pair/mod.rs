//! Dense decode by pairs of CTAs: what [`dense`](super::dense) computes, bit by bit, for two tiles of 64 query rows
//! at once.
//!
//! The two CTAs of a cluster walk over the same blocks. Each computes the scores of its own 64 rows, and half of the
//! columns of the output of all 128; the probabilities travel between them.
//!
//! ```text
//! producer               own                               other                      the other CTA
//! TMA K[j+1], ──►        S[j+1] = Q · K[j+1]ᵀ, begun
//! headers                send P[j], factors                                     ──►   its `other`
//!                        S[j+1], the rest
//!                        O_own += P[j] · V[j]       ──►    O_other = O_other · factors
//!                        P[j+1] = softmax(S[j+1])                 + P'[j] · V[j]  ◄──  its `own`
//!                        O_own = O_own · factors
//!               ◄──      V[j] free                         V[j] free
//! ```
//!
//! What that is good for: a block's V, the half of K that its output needs, stays in shared memory from its scores
//! until its output, for two block times; the other half and the rotary tile only while they are multiplied. So there
//! is room for three blocks of V, and the softmax of a block runs beside the output of the block before it. In the
//! dense kernel, with two whole blocks in shared memory, only half of that can be had.
//!
//! The queue of the tensor cores holds about seven multiplies of a warpgroup, then the warpgroup waits: the four (N =
//! 256) of an output, but not the 36 (N = 64) of a block's scores. So *own* issues the output behind the scores and
//! goes on, and *other* begins when *own* has issued: scores come first, for the softmax waits for them
//! (`docs/performance-notes.md`, 19).

pub mod config;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod barriers;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod message;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod other;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod own;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod producer;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use super::barriers;
    use super::config::*;
    use super::other::Other;
    use super::own::Own;
    use super::producer::Places;
    use crate::abi::DenseDecodeParams;
    use crate::attention::epilogue;
    use crate::attention::limits::Limits;
    use crate::attention::rows::Tile;
    use crate::attention::sink::Sinks;
    use crate::decode::dense::config::{
        CONSUMER_REGISTERS, PRODUCER_REGISTERS, PRODUCER_WARP, RIGHT_WARP,
    };
    use crate::decode::walk::Cached;
    use crate::decode::{merge, producer};
    use crate::ptx::tma::TensorMapAddress;
    use crate::ptx::wgmma::Acc256;
    use crate::ptx::{cluster, registers, shared, special};
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
        // SAFETY: every thread of both CTAs is here, and nobody has used the barriers.
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
                registers::decrease::<PRODUCER_REGISTERS>();
                if warp == PRODUCER_WARP {
                    producer::run::<L, _>(q, Places::new(kv), params, &tile, part, shared);
                } else {
                    let (index, requests) = (warp - PRODUCER_WARP - 1, Cached::<L>::new(params));
                    merge::clear_empty_requests::<E, _>(&requests, &tile, part, index);
                }
            }
            // Nobody ends while the other CTA may still write to its shared memory.
            cluster::arrive();
            cluster::wait();
        }
    }

    /// The two multiplying warpgroups: a piece at a time, each its half of an output, until the producer says that
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
        let is_own = special::warp() < RIGHT_WARP;
        let (mut own, mut other) = (Own::<L>::new(tile), Other::new());
        loop {
            // SAFETY: zero bits are 0.0; warpgroups are converged.
            unsafe {
                let mut o: Acc256 = core::mem::zeroed();
                let (header, normaliser, log2_sum) = if is_own {
                    let (header, result) = own.piece::<E>(params, shared, &mut o);
                    (header, result.normaliser, Some(result.log2_sum))
                } else {
                    let (header, normaliser) = other.piece::<E>(shared, &mut o);
                    (header, normaliser, None)
                };
                if header.is_end() {
                    break;
                }
                // Hidden from the compiler, which would keep the tile in registers from piece to piece.
                let index = registers::opaque(tile.index);
                let rows = Tile::new(params, if is_own { index } else { index ^ 1 });
                let first_column = cluster::rank() * HALF;
                let piece = epilogue::Piece { request: header.request, slot: header.slot() };
                epilogue::store::<E>(params, &rows, &piece, first_column, &o, normaliser, log2_sum);
            }
        }
    }
}
