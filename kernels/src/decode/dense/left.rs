//! The left warpgroup: scores, softmax, and output columns 0–255.

use seq_macro::seq;

use super::barriers::{Publisher, Ring, release};
use super::config::*;
use super::tail;
use crate::abi::DenseDecodeParams;
use crate::attention::epilogue;
use crate::attention::rows::{self, Tile};
use crate::attention::softmax::{self, OnlineSoftmax, RowResult};
use crate::decode::walk::{Piece, Walk};
use crate::ptx::wgmma::{self, Acc64, Acc256, FragmentA};
use crate::ptx::{matrix, mbarrier, registers, shared as memory, special};
use crate::tile::descriptor;
use crate::tile::element::Element;
use crate::tile::swizzle;

/// Runs the warpgroup.
///
/// # Safety
/// Its four warps call it, converged; `params` is valid for the launch.
#[inline(always)]
pub unsafe fn run<E: Element>(
    params: &DenseDecodeParams,
    tile: &Tile,
    mut walk: Walk,
    shared: u32,
) {
    let rows = rows::fragment_rows();
    let mut publisher = Publisher::new();
    let mut ring = Ring::new();
    let mut q_parity = 0;
    // SAFETY: zero bits are 0.0. (An array literal of this length would go through local memory.)
    let mut scores: Acc64 = unsafe { core::mem::zeroed() };

    // SAFETY: the warpgroup is converged, and every wait below stands before the use it protects.
    unsafe {
        while let Some(piece) = walk.next() {
            let mut o: Acc256 = core::mem::zeroed();
            let mut softmax = OnlineSoftmax::new();
            let visible =
                [tile.visible(rows[0], piece.length), tile.visible(rows[1], piece.length)];
            let all_visible = tile.visible(0, piece.length);
            mbarrier::wait(shared + Q_FULL, q_parity);
            q_parity ^= 1;

            issue_left_scores::<E>(&mut scores, &ring, shared);
            finish_scores::<E>(&mut scores, &ring, shared);
            let mut block = piece.blocks.start;
            loop {
                let is_last = block + 1 == piece.blocks.end;
                if is_last {
                    release(shared + Q_EMPTY);
                }

                let first_token = (block * TILE) as i32;
                if first_token + TILE as i32 > all_visible {
                    softmax::mask(
                        &mut scores,
                        [visible[0] - first_token, visible[1] - first_token],
                    );
                }
                let factors = softmax.step(&mut scores, params.scale_log2);
                let p = softmax::pack::<E>(&scores);
                softmax::scale_rows(&mut o, factors);

                publisher.wait_consumed();
                store_row_factors(shared, rows, factors);
                store_probabilities(shared, &p);
                publisher.publish();

                if let Some(tail) = tail::rows(&piece, block) {
                    tail::clear::<LEFT_GROUP>(ring.tile(shared, 0), tail);
                }
                let v = descriptor::mn_major(ring.tile(shared, 0));
                wgmma::fence();
                seq!(K in 0..4 {
                    E::multiply_256_fragment(&mut o, &p[K], descriptor::mn_major_step(v, K));
                });
                wgmma::commit();

                let left_empty = ring.barrier(shared, LEFT_EMPTY);
                ring.advance();
                if is_last {
                    wgmma::wait_256::<0>(&mut o);
                    release(left_empty);
                    break;
                }
                // Waiting here for both groups gives the left tiles back 20 steps earlier than waiting
                // once at the end. (Leaving the second group in flight, `wait_group 1`, makes ptxas
                // serialise all multiplies: C7514.)
                issue_left_scores::<E>(&mut scores, &ring, shared);
                wgmma::wait_256::<0>(&mut o);
                release(left_empty);
                finish_scores::<E>(&mut scores, &ring, shared);
                block += 1;
            }
            finish::<E>(params, tile, &piece, &mut publisher, shared, softmax.finish(), &o);
        }
        publisher.wait_consumed();
    }
}

/// First part of `scores = Q · Kᵀ`: the 16 steps over the left tiles of K. Closes a group.
#[inline(always)]
unsafe fn issue_left_scores<E: Element>(scores: &mut Acc64, ring: &Ring, shared: u32) {
    // SAFETY: the caller's promise; K is read after its barrier completes.
    unsafe {
        mbarrier::wait(ring.barrier(shared, LEFT_FULL), ring.parity);
        let q = registers::opaque(descriptor::k_major(shared + Q));
        let k = registers::opaque(descriptor::k_major(ring.tile(shared, 0)));
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

/// Second part: the 20 steps over the right tiles. Waits for everything the warpgroup has issued.
#[inline(always)]
unsafe fn finish_scores<E: Element>(scores: &mut Acc64, ring: &Ring, shared: u32) {
    // SAFETY: the caller's promise; K is read after its barrier completes.
    unsafe {
        mbarrier::wait(ring.barrier(shared, RIGHT_FULL), ring.parity);
        let q = registers::opaque(descriptor::k_major(shared + Q));
        let k = registers::opaque(descriptor::k_major(ring.tile(shared, 0)));
        wgmma::fence();
        seq!(STEP in 16..36 {
            let a = descriptor::k_major_step(q, STEP);
            let b = descriptor::k_major_step(k, STEP);
            E::multiply_64::<true>(scores, a, b);
        });
        wgmma::commit();
        wgmma::wait_64::<0>(scores);
    }
}

/// By what the right warpgroup multiplies its rows; one thread of the four that share a row writes.
#[inline(always)]
unsafe fn store_row_factors(shared: u32, rows: [u32; 2], factors: [f32; 2]) {
    if special::lane().is_multiple_of(4) {
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
    let lane = special::lane();
    let row = special::thread_index() / 32 * 16 + lane % 16;
    seq!(K in 0..4 {
        let offset = swizzle::chunk_offset(row, 2 * K + lane / 16);
        // SAFETY: inside the tile, 16-byte aligned.
        unsafe { matrix::store_x4(shared + P + offset, p[K]) };
    });
}

/// Publishes the normalisers and writes the piece's result.
#[inline(always)]
unsafe fn finish<E: Element>(
    params: &DenseDecodeParams,
    tile: &Tile,
    piece: &Piece,
    publisher: &mut Publisher,
    shared: u32,
    result: RowResult,
    o: &Acc256,
) {
    let to = piece.destination();
    // SAFETY: the warpgroup is converged.
    unsafe {
        publisher.wait_consumed();
        store_row_factors(shared, rows::fragment_rows(), result.normaliser);
        publisher.publish();
        epilogue::store_half::<E>(params, tile, to, 0, o, result.normaliser);
        epilogue::store_lse(params, tile, to, result.log2_sum);
    }
}
