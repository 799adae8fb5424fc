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
            let limits = Limits::new(tile, &piece);
            mbarrier::wait(shared + Q_FULL, q_parity);
            q_parity ^= 1;

            issue_left_scores::<E>(&mut scores, &ring, shared);
            finish_scores::<E>(&mut scores, &ring, shared);
            let mut block = piece.blocks.start;
            while block + 1 < piece.blocks.end {
                limits.mask(&mut scores, block);
                let factors = softmax.step(&mut scores, params.scale_log2);
                let p = softmax::pack::<E>(&scores);
                softmax::scale_rows(&mut o, factors);
                // The tensor cores first: what the other warpgroup needs is written while they multiply.
                issue_output::<E>(&mut o, &p, &ring, shared);
                publish(&mut publisher, shared, factors, &p);

                // The scores of the next block queue up behind the output of this one; as soon as that is
                // done the left tiles go back, with the scores still running.
                let left_empty = ring.barrier(shared, LEFT_EMPTY);
                ring.advance();
                issue_left_scores::<E>(&mut scores, &ring, shared);
                wgmma::wait_256::<1>(&mut o);
                release(left_empty);
                finish_scores::<E>(&mut scores, &ring, shared);
                block += 1;
            }
            // The last block stands apart, for it has no scores to queue: a branch in the loop, between
            // multiplies in flight, would make ptxas serialise them all (C7514).
            release(shared + Q_EMPTY);
            limits.mask(&mut scores, block);
            let factors = softmax.step(&mut scores, params.scale_log2);
            let p = softmax::pack::<E>(&scores);
            softmax::scale_rows(&mut o, factors);
            publish(&mut publisher, shared, factors, &p);
            if let Some(tail) = tail::rows(&piece, block) {
                tail::clear::<LEFT_GROUP>(ring.tile(shared, 0), tail);
            }
            issue_output::<E>(&mut o, &p, &ring, shared);
            wgmma::wait_256::<0>(&mut o);
            release(ring.barrier(shared, LEFT_EMPTY));
            ring.advance();

            finish::<E>(params, tile, &piece, &mut publisher, shared, softmax.finish(), &o);
        }
        publisher.wait_consumed();
    }
}

/// How many tokens of a request the two rows of this thread see.
struct Limits {
    visible: [i32; 2],
    /// The first row of the tile sees no more than any other.
    least: i32,
}

impl Limits {
    #[inline(always)]
    fn new(tile: &Tile, piece: &Piece) -> Self {
        let rows = rows::fragment_rows();
        Self {
            visible: [tile.visible(rows[0], piece.length), tile.visible(rows[1], piece.length)],
            least: tile.visible(0, piece.length),
        }
    }

    /// Hides what the rows do not see of `block`; nothing in most blocks.
    #[inline(always)]
    fn mask(&self, scores: &mut Acc64, block: u32) {
        let first = (block * TILE) as i32;
        if first + TILE as i32 > self.least {
            softmax::mask(scores, [self.visible[0] - first, self.visible[1] - first]);
        }
    }
}

/// First part of `scores = Q · Kᵀ`: the 16 steps over the left tiles of K. Closes a group.
#[inline(always)]
unsafe fn issue_left_scores<E: Element>(scores: &mut Acc64, ring: &Ring, shared: u32) {
    // SAFETY: the caller's promise; K is read after its barrier completes.
    unsafe {
        mbarrier::wait(ring.barrier(shared, LEFT_FULL), ring.parity);
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

/// Second part: the 20 steps over the right tiles. Waits for everything the warpgroup has issued.
#[inline(always)]
unsafe fn finish_scores<E: Element>(scores: &mut Acc64, ring: &Ring, shared: u32) {
    // SAFETY: the caller's promise; K is read after its barrier completes.
    unsafe {
        mbarrier::wait(ring.barrier(shared, RIGHT_FULL), ring.parity);
        let q = descriptor::k_major(registers::opaque(shared + Q));
        let k = descriptor::k_major(registers::opaque(ring.tile(shared, 0)));
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

/// `o += P · V` for the left half of V, 64 tokens in 4 steps. Closes a group.
#[inline(always)]
unsafe fn issue_output<E: Element>(o: &mut Acc256, p: &[FragmentA; 4], ring: &Ring, shared: u32) {
    let v = descriptor::mn_major(ring.tile(shared, 0));
    // SAFETY: the caller's promise; V has landed before the scores were multiplied.
    unsafe {
        wgmma::fence();
        seq!(K in 0..4 {
            E::multiply_256_fragment(o, &p[K], descriptor::mn_major_step(v, K));
        });
        wgmma::commit();
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
unsafe fn store_row_factors(shared: u32, factors: [f32; 2]) {
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
        store_row_factors(shared, result.normaliser);
        publisher.publish();
        epilogue::store_half::<E>(params, tile, to, 0, o, result.normaliser);
        epilogue::store_lse(params, tile, to, result.log2_sum);
    }
}
