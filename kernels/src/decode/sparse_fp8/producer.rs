//! The producer warp: follows the schedule, brings Q and what a list names into shared memory as soon as there is room, and
//! tells the other warps what they are.

use super::config::*;
use super::place;
use super::rows::Rows;
use crate::attention::rows::Tile;
use crate::decode::dense::barriers::Ring;
use crate::decode::dense::config::{DESK, LEFT_EMPTY, LEFT_TILES, RIGHT_EMPTY, RIGHT_HEADERS};
use crate::decode::dense::producer::QUERY;
use crate::decode::header::Header;
use crate::decode::producer::load_q;
use crate::decode::sparse::abi::SparseParams;
use crate::decode::sparse::lists::{self, Lists};
use crate::decode::sparse::{Decode, Work};
use crate::ptx::tma::{self, TensorMapAddress};
use crate::ptx::{cp_async, mbarrier, shared as memory, special};

/// Runs the producer.
///
/// # Safety
/// One converged warp calls it; the map and the parameters are valid for the launch.
#[inline(always)]
pub unsafe fn run<F: Codes>(
    q: TensorMapAddress,
    params: &SparseParams,
    tile: &Tile,
    part: u32,
    shared: u32,
) {
    tma::prefetch(q);
    let mut ring = Ring::new();
    let mut q_parity = 0;
    // SAFETY: the warp is converged; parities follow the same order of blocks as those of all others.
    unsafe {
        let mut pieces = Decode::pieces(params, part);
        let to_merge = pieces.clone();
        while let Some(piece) = pieces.next() {
            let counts = lists::counts(params, piece.request);
            let lists = Lists::new(params, piece.request, counts);
            let mut block = piece.blocks.start;
            let mut indices = indices(&lists, block);
            mbarrier::wait(shared + QUERY.empty, q_parity ^ 1);
            q_parity ^= 1;
            if special::lane() == 0 {
                load_q(q, &QUERY, F::TILES, tile, piece.request, shared);
            }
            while block < piece.blocks.end {
                let rows = Rows::new::<F>(&lists.section(block), indices);
                block += 1;
                let is_last = block == piece.blocks.end;
                if !is_last {
                    // On their way while the rows are.
                    indices = self::indices(&lists, block);
                }
                let header = Header::new(rows.count(), piece.request, piece.slot, is_last);
                load_block::<F>(&rows, &header, &ring, shared);
                ring.advance();
            }
        }
        announce_end(&ring, shared);
        Decode::hand_out(params, tile, to_merge, DESK.at(shared));
        cp_async::wait_all();
    }
}

/// Indices of the lane's two tokens of block `block`.
#[inline(always)]
unsafe fn indices(lists: &Lists, block: u32) -> [i32; 2] {
    let section = lists.section(block);
    // SAFETY: a list of the query token.
    unsafe { [section.load(special::lane()), section.load(special::lane() + 32)] }
}

/// Issues the copies of a block in two units, each with its header when its place in the ring is free.
#[inline(always)]
unsafe fn load_block<F: Codes>(rows: &Rows, header: &Header, ring: &Ring, shared: u32) {
    // SAFETY: the waits make sure that the tiles are free. So are the scales of the block before: its left tiles are free when
    // its scores are there, for which the converter has done all of it.
    unsafe {
        mbarrier::wait(ring.barrier(shared, LEFT_EMPTY), ring.parity ^ 1);
        let landed = ring.barrier(shared, LEFT_LANDED);
        if special::lane() == 0 {
            let [lower, upper] = rows.mask();
            header.store(ring.header(shared, CODE_HEADERS));
            memory::store_u32x4(shared + MASKS + MASK_BYTES * ring.index, [lower, upper, 0, 0]);
            mbarrier::arrive(landed);
        }
        rows.copy_scales::<F>(place::scales(ring, shared));
        rows.copy_codes(0, LEFT_TILES, place::codes(ring, shared, 0, LEFT_TILES));
        cp_async::arrive(landed);

        mbarrier::wait(ring.barrier(shared, RIGHT_EMPTY), ring.parity ^ 1);
        let landed = ring.barrier(shared, RIGHT_LANDED);
        if special::lane() == 0 {
            header.store(ring.header(shared, RIGHT_HEADERS));
            mbarrier::arrive(landed);
        }
        let codes = place::codes(ring, shared, 1, F::RIGHT_CODE_TILES);
        rows.copy_codes(LEFT_TILES, F::RIGHT_CODE_TILES, codes);
        rows.copy_rope::<F>(ring.tile(shared, F::TILES - 1));
        cp_async::arrive(landed);
    }
}

/// Tells converter and warpgroups that no block follows, in the left load unit alone.
#[inline(always)]
unsafe fn announce_end(ring: &Ring, shared: u32) {
    // SAFETY: as for `load_block`; nothing is copied. When the right warpgroup has multiplied a block, the left has read its
    // header long since.
    unsafe {
        mbarrier::wait(ring.barrier(shared, RIGHT_EMPTY), ring.parity ^ 1);
        if special::lane() == 0 {
            Header::end().store(ring.header(shared, CODE_HEADERS));
            Header::end().store(ring.header(shared, RIGHT_HEADERS));
            mbarrier::arrive(ring.barrier(shared, LEFT_LANDED));
        }
        cp_async::arrive(ring.barrier(shared, LEFT_LANDED));
    }
}
