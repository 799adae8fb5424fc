//! The left warpgroup: codes of Q, scores, softmax, and output columns 0–255.

use seq_macro::seq;

use super::config::*;
use super::output::{add_last, update};
use super::transposer::terms;
use super::{exchange, query};
use crate::abi::DenseDecodeParams;
use crate::attention::limits::Limits;
use crate::attention::scaled;
use crate::attention::softmax::{self, OnlineSoftmax, RowResult};
use crate::decode::dense::barriers::{Publisher, Ring, release};
use crate::decode::dense::store_row_factors;
use crate::decode::header::Header;
use crate::ptx::wgmma::{self, Acc64, Acc256};
use crate::ptx::wgmma_fp8::{self, FragmentA};
use crate::ptx::{mbarrier, registers};
use crate::tile::descriptor;
use crate::tile::element::{Bf16, Element};

/// What the warpgroup keeps from piece to piece.
pub struct Left {
    publisher: Publisher,
    ring: Ring,
    q_parity: u32,
}

impl Left {
    /// Before the first piece.
    #[inline(always)]
    pub fn new() -> Self {
        Self { publisher: Publisher::new(), ring: Ring::new(), q_parity: 0 }
    }

    /// Computes the left half of the next piece's output, which is zero before, not yet normalised; its header is that of
    /// its last block. The last header of all is the end's.
    ///
    /// # Safety
    /// The four warps of the warpgroup call it, converged; `params` is valid for the launch.
    #[inline(always)]
    pub unsafe fn piece<E: Element, L: Limits>(
        &mut self,
        params: &DenseDecodeParams,
        limits: &L,
        shared: u32,
        o: &mut Acc256,
    ) -> (Header, RowResult) {
        // SAFETY: zero bits are 0.0. (An array literal of this length would go through local memory.)
        let (mut scores, mut product): (Acc64, Acc64) = unsafe { core::mem::zeroed() };
        let mut softmax = OnlineSoftmax::of_weights();
        // SAFETY: the warpgroup is converged, and every wait below stands before the use it protects.
        unsafe {
            let mut header = next_header(&self.ring, shared);
            if header.is_end() {
                self.publisher.wait_consumed();
                return (header, softmax.finish(None));
            }
            mbarrier::wait(shared + Q_FULL, self.q_parity);
            self.q_parity ^= 1;
            query::quantise::<E>(shared);
            let rows = Rows { params, limits };
            issue_scores(&mut scores, &self.ring, shared);
            finish_scores(&mut scores, &self.ring, shared);
            loop {
                if header.is_last() {
                    release(shared + Q_EMPTY);
                }
                let (p, factors) =
                    rows.weights(&mut softmax, &mut scores, &header, &self.ring, shared);
                self.publish(shared, factors, &p);
                softmax::scale_rows(o, factors);
                let v = registers::opaque(self.ring.tile(shared, V_TILE));
                update(o, [&mut scores, &mut product], &p, v);
                // With nothing in flight, for a branch between multiplies would make ptxas serialise them all (C7514).
                if header.is_last() {
                    break;
                }
                release(self.ring.barrier(shared, VALUES_EMPTY));
                self.ring.advance();
                header = next_header(&self.ring, shared);
                issue_scores(&mut scores, &self.ring, shared);
                add_last(o, &product);
                finish_scores(&mut scores, &self.ring, shared);
            }
            add_last(o, &product);
            // Right's header says the same as the block's own, which is no longer there. So its words need not be kept.
            let header = Header::load(self.ring.header(shared, VALUES_HEADERS));
            release(self.ring.barrier(shared, VALUES_EMPTY));
            self.ring.advance();

            let result = softmax.finish(None);
            self.publisher.wait_consumed();
            store_row_factors(shared, result.normaliser);
            self.publisher.announce();
            (header, result)
        }
    }

    /// Hands P and the row factors to the right warpgroup.
    #[inline(always)]
    unsafe fn publish(&mut self, shared: u32, factors: [f32; 2], p: &[FragmentA; 2]) {
        // SAFETY: the warpgroup is converged.
        unsafe {
            self.publisher.wait_consumed();
            store_row_factors(shared, factors);
            exchange::store(shared, p);
            self.publisher.announce();
        }
    }
}

/// This thread's two rows of a piece.
struct Rows<'a, L> {
    params: &'a DenseDecodeParams,
    limits: &'a L,
}

impl<L: Limits> Rows<'_, L> {
    /// What the codes of the ring's current block weigh, of which `scores` are those of the rows' codes, and the factors of
    /// what there is of the output.
    ///
    /// # Safety
    /// All lanes of a warp of the warpgroup call it, converged.
    #[inline(always)]
    unsafe fn weights(
        &self,
        softmax: &mut OnlineSoftmax,
        scores: &mut Acc64,
        header: &Header,
        ring: &Ring,
        shared: u32,
    ) -> ([FragmentA; 2], [f32; 2]) {
        let Self { params, limits } = self;
        // SAFETY: the terms are there when the barrier completes.
        unsafe {
            mbarrier::wait(ring.barrier(shared, VALUES_FULL), ring.parity);
            let (terms, scales) = (terms(ring, shared), query::scales(shared));
            if L::LIMITED {
                // A soft cap is for raw scores.
                scaled::score(scores, terms, scales);
                let units = limits.apply(scores, params, header.tokens, |scale| [scale; 2]);
                scaled::weigh::<false>(scores, terms, units);
            } else {
                let units = scales.map(|scale| scale * params.scale_log2);
                scaled::weigh::<true>(scores, terms, units);
                limits.apply(scores, params, header.tokens, |_| units);
            }
            let factors = softmax.step_scaled(scores, terms);
            (scaled::pack(scores), factors)
        }
    }
}

/// Waits for the ring's current block of K; its header.
#[inline(always)]
unsafe fn next_header(ring: &Ring, shared: u32) -> Header {
    // SAFETY: the warpgroup is converged.
    unsafe {
        mbarrier::wait(ring.barrier(shared, KEYS_FULL), ring.parity);
        Header::load(ring.header(shared, KEYS_HEADERS))
    }
}

/// `scores = Q · Kᵀ` of codes and of what the rope parts are in their scales: 16 steps of 32 codes, 4 of 16 rotary
/// dimensions. Closes a group.
#[inline(always)]
unsafe fn issue_scores(scores: &mut Acc64, ring: &Ring, shared: u32) {
    // SAFETY: the caller's promise; K has landed.
    unsafe {
        let q = descriptor::k_major(registers::opaque(shared + Q));
        let k = descriptor::k_major(registers::opaque(ring.tile(shared, 0)));
        wgmma::fence();
        wgmma_fp8::m64n64k32_e4m3_ss_first(scores, q, k);
        seq!(STEP in 1..16 {
            let a = descriptor::k_major_step(q, STEP);
            let b = descriptor::k_major_step(k, STEP);
            wgmma_fp8::m64n64k32_e4m3_ss_add(scores, a, b);
        });
        // Only multiplies of one shape are ordered by themselves.
        wgmma::fence();
        seq!(STEP in 0..4 {
            let a = descriptor::k_major_step(q, 4 * Q_ROPE_TILE + STEP);
            let b = descriptor::k_major_step(k, 4 * K_ROPE_TILE + STEP);
            Bf16::multiply_64::<true>(scores, a, b);
        });
        wgmma::commit();
    }
}

/// Waits for the scores, and gives K back.
#[inline(always)]
unsafe fn finish_scores(scores: &mut Acc64, ring: &Ring, shared: u32) {
    // SAFETY: the warpgroup is converged.
    unsafe {
        wgmma::wait_64::<0>(scores);
        release(ring.barrier(shared, KEYS_EMPTY));
    }
}
