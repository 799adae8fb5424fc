//! The left warpgroup: scores, softmax, and output columns 0–255.

use seq_macro::seq;

use super::barriers::{Publisher, Ring, release};
use super::blocks::Blocks;
use super::config::*;
use super::math::Math;
use crate::attention::rows::{self, Tile};
use crate::attention::softmax::{self, RowResult};
use crate::decode::header::Header;
use crate::decode::output::issue_output;
use crate::decode::tail;
use crate::ptx::wgmma::{self, Acc64, Acc256, FragmentA};
use crate::ptx::{matrix, mbarrier, registers, shared as memory, special};
use crate::tile::descriptor;
use crate::tile::element::Element;
use crate::tile::swizzle;

/// What the warpgroup keeps from piece to piece.
pub struct Left<M> {
    math: M,
    publisher: Publisher,
    ring: Ring,
    q_parity: u32,
}

impl<M: Math> Left<M> {
    /// Before the first piece of `tile`.
    #[inline(always)]
    pub fn new(tile: &Tile) -> Self {
        Self { math: M::new(tile), publisher: Publisher::new(), ring: Ring::new(), q_parity: 0 }
    }

    /// Computes the left half of the output of the next piece of `tile`, which is zero before, not yet normalised; its
    /// header is that of its last block. The last header of all is the end's.
    ///
    /// # Safety
    /// The four warps of the warpgroup call it, converged; parameters are valid for the launch.
    #[inline(always)]
    pub unsafe fn piece<B: Blocks>(
        &mut self,
        tile: &Tile,
        blocks: &B,
        shared: u32,
        o: &mut Acc256,
    ) -> (Header, RowResult) {
        // SAFETY: zero bits are 0.0. (An array literal of this length would go through local memory.)
        let mut scores: Acc64 = unsafe { core::mem::zeroed() };
        let mut softmax = M::softmax(B::MAXIMA);
        // SAFETY: the warpgroup is converged, and every wait below stands before the use it protects.
        unsafe {
            let mut header = next_header(&self.ring, shared);
            if header.is_end() {
                self.publisher.wait_consumed();
                return (header, softmax.finish(None));
            }
            mbarrier::wait(shared + Q_FULL, self.q_parity);
            self.q_parity ^= 1;
            self.math.begin(shared);
            issue_left_scores::<M::Latent>(&mut scores, &self.ring, shared);
            finish_scores::<M, B>(&mut scores, &self.ring, shared);
            if let Some(rows) = B::head(&header) {
                tail::clear::<LEFT_GROUP>(self.ring.tile(shared, 0), rows);
            }
            while !header.is_last() {
                let scales = blocks.limit(&mut scores, &self.math, &header, &self.ring, shared);
                let factors = self.math.rescale(&header, softmax.step(&mut scores, scales));
                let p = softmax::pack::<M::Latent>(&scores);
                softmax::scale_rows(o, factors);
                // The tensor cores first: what the other warpgroup needs is written while they multiply.
                issue_output::<M::Latent>(o, &p, self.ring.tile(shared, 0));
                publish(&mut self.publisher, shared, factors, &p);

                // The scores of the next block queue up behind the output of this one; as soon as that is
                // done the left tiles go back, with the scores still running.
                let left_empty = self.ring.barrier(shared, LEFT_EMPTY);
                self.ring.advance();
                header = next_header(&self.ring, shared);
                issue_left_scores::<M::Latent>(&mut scores, &self.ring, shared);
                wgmma::wait_256::<1>(o);
                release(left_empty);
                finish_scores::<M, B>(&mut scores, &self.ring, shared);
            }
            // The last block stands apart, for it has no scores to queue: a branch in the loop, between
            // multiplies in flight, would make ptxas serialise them all (C7514).
            release(shared + Q_EMPTY);
            let scales = blocks.limit(&mut scores, &self.math, &header, &self.ring, shared);
            let factors = self.math.rescale(&header, softmax.step(&mut scores, scales));
            let p = softmax::pack::<M::Latent>(&scores);
            softmax::scale_rows(o, factors);
            publish(&mut self.publisher, shared, factors, &p);
            if let Some(tail) = B::tail(&header) {
                tail::clear::<LEFT_GROUP>(self.ring.tile(shared, 0), tail);
            }
            issue_output::<M::Latent>(o, &p, self.ring.tile(shared, 0));
            wgmma::wait_256::<0>(o);
            release(self.ring.barrier(shared, LEFT_EMPTY));
            self.ring.advance();

            let mut result = blocks.finish(softmax, tile, &header);
            result.normaliser = self.math.finish(&header, result.normaliser);
            self.publisher.wait_consumed();
            store_row_factors(shared, result.normaliser);
            self.publisher.publish();
            (header, result)
        }
    }
}

/// Waits for the left tiles of the ring's current block; their header.
#[inline(always)]
unsafe fn next_header(ring: &Ring, shared: u32) -> Header {
    // SAFETY: the warpgroup is converged.
    unsafe {
        mbarrier::wait(ring.barrier(shared, LEFT_FULL), ring.parity);
        Header::load(ring.header(shared, LEFT_HEADERS))
    }
}

/// First part of `scores = Q · Kᵀ`: the 16 steps over the left tiles of K. Closes a group.
#[inline(always)]
unsafe fn issue_left_scores<E: Element>(scores: &mut Acc64, ring: &Ring, shared: u32) {
    // SAFETY: the caller's promise; its tiles have landed.
    unsafe {
        let q = descriptor::k_major(registers::opaque(shared + Q));
        let k = descriptor::k_major(registers::opaque(ring.tile(shared, 0)));
        wgmma::fence();
        E::multiply_64::<false>(scores, q, k);
        seq!(STEP in 1..16 {
            let a = descriptor::k_major_step(q, STEP);
            let b = descriptor::k_major_step(k, STEP);
            E::multiply_64::<true>(scores, a, b);
        });
        wgmma::commit();
    }
}

/// Second part: the 20 steps over the right tiles, or 16 without a rotary tile. Waits for everything the warpgroup has issued.
#[inline(always)]
unsafe fn finish_scores<M: Math, B: Blocks>(scores: &mut Acc64, ring: &Ring, shared: u32) {
    // SAFETY: the caller's promise; K is read after its barrier completes.
    unsafe {
        mbarrier::wait(ring.barrier(shared, RIGHT_FULL), ring.parity);
        let q = descriptor::k_major(registers::opaque(shared + Q));
        let k = descriptor::k_major(registers::opaque(ring.tile(shared, 0)));
        wgmma::fence();
        seq!(STEP in 16..32 {
            let a = descriptor::k_major_step(q, STEP);
            let b = descriptor::k_major_step(k, STEP);
            M::Latent::multiply_64::<true>(scores, a, b);
        });
        seq!(STEP in 32..36 {
            if STEP < 4 * B::TILES {
                let a = descriptor::k_major_step(q, STEP);
                let b = descriptor::k_major_step(k, STEP);
                M::Rope::multiply_64::<true>(scores, a, b);
            }
        });
        wgmma::commit();
        wgmma::wait_64::<0>(scores);
    }
}

/// Hands P and the row factors to the right warpgroup.
#[inline(always)]
unsafe fn publish(publisher: &mut Publisher, shared: u32, factors: [f32; 2], p: &[FragmentA; 4]) {
    // SAFETY: the warpgroup is converged.
    unsafe {
        publisher.wait_consumed();
        store_row_factors(shared, factors);
        store_probabilities(shared, p);
        publisher.publish();
    }
}

/// By what the right warpgroup multiplies its rows; one thread of the four that share a row writes.
#[inline(always)]
pub(in crate::decode) unsafe fn store_row_factors(shared: u32, factors: [f32; 2]) {
    if special::lane().is_multiple_of(4) {
        let rows = rows::fragment_rows();
        // SAFETY: the rows are below 64.
        unsafe {
            memory::store_f32(shared + ROW_FACTORS + rows[0] * 4, factors[0]);
            memory::store_f32(shared + ROW_FACTORS + rows[1] * 4, factors[1]);
        }
    }
}

/// P as a swizzled tile, for the right warpgroup's multiplies.
#[inline(always)]
unsafe fn store_probabilities(shared: u32, p: &[FragmentA; 4]) {
    // Hidden from the compiler, or it would keep the four offsets in registers across the loop.
    let thread = registers::opaque(special::thread_index());
    let row = thread / 32 * 16 + thread % 16;
    seq!(K in 0..4 {
        let offset = swizzle::chunk_offset(row, 2 * K + thread / 16 % 2);
        // SAFETY: inside the tile, 16-byte aligned.
        unsafe { matrix::store_x4(shared + P + offset, p[K]) };
    });
}
