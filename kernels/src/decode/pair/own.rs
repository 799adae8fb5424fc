//! The *own* warpgroup: scores and softmax of the CTA's rows, and its half of their output.

use seq_macro::seq;

use super::barriers::halves;
use super::config::*;
use super::message::Sender;
use crate::abi::DenseDecodeParams;
use crate::attention::limits::Limits;
use crate::attention::rows::Tile;
use crate::attention::softmax::{self, OnlineSoftmax, RowResult};
use crate::decode::dense::barriers::{release, release_all};
use crate::decode::header::Header;
use crate::decode::output::issue_output;
use crate::decode::ring::Ring;
use crate::decode::tail;
use crate::ptx::wgmma::{self, Acc64, Acc256};
use crate::ptx::{cluster, mbarrier, registers};
use crate::tile::descriptor;
use crate::tile::element::Element;
use crate::tile::swizzle::TILE_BYTES;

/// What the warpgroup keeps from piece to piece.
pub struct Own<L> {
    sender: Sender,
    /// Parity of the tiles of the block that is scored next.
    parity: u32,
    /// V of that block.
    v: Ring<STAGES>,
    q_parity: u32,
    limits: L,
}

impl<L: Limits> Own<L> {
    /// Before the first piece of `tile`.
    #[inline(always)]
    pub fn new(tile: &Tile) -> Self {
        Self { sender: Sender::new(), parity: 0, v: Ring::new(), q_parity: 0, limits: L::new(tile) }
    }

    /// Computes half of the output of the next piece, which is zero before, not yet normalised; its header is that of
    /// its last block. The last header of all is the end's.
    ///
    /// # Safety
    /// The four warps of the warpgroup call it, converged; `params` is valid for the launch; the other CTA receives.
    #[inline(always)]
    pub unsafe fn piece<E: Element>(
        &mut self,
        params: &DenseDecodeParams,
        shared: u32,
        o: &mut Acc256,
    ) -> (Header, RowResult) {
        // SAFETY: zero bits are 0.0. (An array literal of this length would go through local memory.)
        let mut scores: Acc64 = unsafe { core::mem::zeroed() };
        let mut softmax = OnlineSoftmax::new(false);
        // SAFETY: the warpgroup is converged, and every wait below stands before the use it protects.
        unsafe {
            mbarrier::wait(shared + FULL, self.parity);
            let mut header = Header::load(shared + HEADER);
            if header.is_end() {
                release(self.v.barrier(shared, V_READY));
                return (header, softmax.finish(None));
            }
            mbarrier::wait(shared + Q_FULL, self.q_parity);
            self.q_parity ^= 1;
            self.begin_scores::<E>(&mut scores, shared);
            self.go_on_with_scores::<E>(&mut scores, shared);
            wgmma::wait_64::<0>(&mut scores);
            release_all([7, 8].map(|tile| shared + SCORED + 8 * tile));
            if let Some(rows) = tail::rows_before::<L>(&header) {
                tail::clear::<OWN_GROUP>(self.v.tiles(shared), rows);
            }
            let scales = self.limits.apply(&mut scores, params, header.tokens, |scale| [scale; 2]);
            let mut factors = softmax.step(&mut scores, scales);
            let mut p = softmax::pack::<E>(&scores);
            self.sender.wait(shared);
            while !header.is_last() {
                let v = self.v;
                self.next_block();
                mbarrier::wait(shared + FULL, self.parity);
                self.begin_scores::<E>(&mut scores, shared);
                header = Header::load(shared + HEADER);
                // Behind the first multiplies of the next block, so that the tensor cores do not wait for it.
                self.sender.send(shared, &p, factors);
                self.go_on_with_scores::<E>(&mut scores, shared);
                issue_output::<E>(o, &p, v.tiles(shared));
                release(v.barrier(shared, V_READY));
                self.sender.wait(shared);
                wgmma::wait_64::<1>(&mut scores);
                release_all([7, 8].map(|tile| shared + SCORED + 8 * tile));
                let scales =
                    self.limits.apply(&mut scores, params, header.tokens, |scale| [scale; 2]);
                factors = softmax.step(&mut scores, scales);
                // Or ptxas would wait for the output first and compute the probabilities behind it.
                softmax.demand();
                wgmma::wait_256::<0>(o);
                release(v.barrier(shared, V_EMPTY));
                p = softmax::pack::<E>(&scores);
                softmax::scale_rows(o, factors);
            }
            // The last block stands apart, for it has no scores to queue: a branch in the loop, between
            // multiplies in flight, would make ptxas serialise them all (C7514).
            release(shared + Q_EMPTY);
            self.sender.send(shared, &p, factors);
            if let Some(tail) = tail::rows(header.tokens) {
                tail::clear::<OWN_GROUP>(self.v.tiles(shared), tail);
            }
            issue_output::<E>(o, &p, self.v.tiles(shared));
            release(self.v.barrier(shared, V_READY));
            let result = softmax.finish(None);
            self.sender.wait(shared);
            self.sender.send_factors(shared, result.normaliser);
            wgmma::wait_256::<0>(o);
            release(self.v.barrier(shared, V_EMPTY));
            self.next_block();
            (header, result)
        }
    }

    #[inline(always)]
    fn next_block(&mut self) {
        self.parity ^= 1;
        self.v.advance();
    }

    /// First part of `scores = Q · Kᵀ`: the first two tiles, as many multiplies as the queue of the tensor cores takes.
    #[inline(always)]
    unsafe fn begin_scores<E: Element>(&self, scores: &mut Acc64, shared: u32) {
        let [first, _] = halves(shared, cluster::rank(), self.v.tiles(shared));
        // SAFETY: the caller's promise; the first half has landed.
        unsafe {
            issue_tile::<E, false>(scores, shared, 0, first);
            issue_tile::<E, true>(scores, shared, 1, first + TILE_BYTES);
        }
    }

    /// The other tiles, each a group. That a tile has been multiplied, the producer is told two tiles later.
    #[inline(always)]
    unsafe fn go_on_with_scores<E: Element>(&self, scores: &mut Acc64, shared: u32) {
        let [first, second] = halves(shared, cluster::rank(), self.v.tiles(shared));
        // SAFETY: as for `begin_scores`.
        unsafe {
            seq!(TILE in 2..4 {
                issue_tile::<E, true>(scores, shared, TILE, first + TILE * TILE_BYTES);
                wgmma::wait::<2>();
                release(shared + SCORED + 8 * (TILE - 2));
            });
            mbarrier::wait(shared + FULL + 8, self.parity);
            seq!(TILE in 4..8 {
                issue_tile::<E, true>(scores, shared, TILE, second + (TILE - 4) * TILE_BYTES);
                wgmma::wait::<2>();
                release(shared + SCORED + 8 * (TILE - 2));
            });
            mbarrier::wait(shared + FULL + 16, self.parity);
            issue_tile::<E, true>(scores, shared, ROPE, shared + K_ROPE);
            wgmma::wait::<2>();
            release(shared + SCORED + 8 * 6);
        }
    }
}

/// `scores (+)= Q · Kᵀ` for the K tile at `k`, 64 dimensions in 4 steps. Closes a group.
#[inline(always)]
unsafe fn issue_tile<E: Element, const ACCUMULATE: bool>(
    scores: &mut Acc64,
    shared: u32,
    tile: u32,
    k: u32,
) {
    // Hidden from the compiler, which would keep the descriptors of all tiles in registers.
    let q = descriptor::k_major(registers::opaque(shared + Q + tile * TILE_BYTES));
    let k = descriptor::k_major(registers::opaque(k));
    // SAFETY: the caller's promise.
    unsafe {
        wgmma::fence();
        E::multiply_64::<ACCUMULATE>(scores, q, k);
        seq!(STEP in 1..4 {
            let a = descriptor::k_major_step(q, STEP);
            let b = descriptor::k_major_step(k, STEP);
            E::multiply_64::<true>(scores, a, b);
        });
        wgmma::commit();
    }
}
