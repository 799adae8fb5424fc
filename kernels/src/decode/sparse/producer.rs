//! The producer warp: follows the schedule, loads Q, and passes on to the multiplying warpgroups what has been gathered.
//!
//! Copies by `cp.async` go through the generic proxy, and `wgmma` reads through the async one: a fence has to stand between.
//! It is executed here, by a warp that has nothing else to do, and not by the warpgroups that everybody waits for.

use super::abi::SparseParams;
use super::config::*;
use super::lists::{self, Lists};
use super::order::{Order, Orders};
use super::work::{Pieces, Work};
use crate::attention::rows::Tile;
use crate::decode::dense::barriers::Ring;
use crate::decode::dense::config::{
    DESK, LEFT_FULL, LEFT_HEADERS, RIGHT_EMPTY, RIGHT_FULL, RIGHT_HEADERS,
};
use crate::decode::dense::producer::QUERY;
use crate::decode::header::Header;
use crate::decode::producer::load_q;
use crate::decode::walk::Piece;
use crate::ptx::tma::{self, TensorMapAddress};
use crate::ptx::{fence, mbarrier, shared as memory, special, warp};

/// Which of a block's tokens count.
#[derive(Clone, Copy)]
struct Mask([u32; 2]);

/// Runs the producer.
///
/// # Safety
/// One converged warp calls it; the map and the parameters are valid for the launch.
#[inline(always)]
pub unsafe fn run<W: Work, const D_QK: u32>(
    q: TensorMapAddress,
    params: &SparseParams,
    tile: &Tile,
    part: u32,
    shared: u32,
) {
    tma::prefetch(q);
    let (mut orders, mut ring) = (Orders::new(), Ring::new());
    let mut q_parity = 0;
    // SAFETY: the warp is converged; parities follow the same order of blocks as those of all others.
    unsafe {
        let mut pieces = W::pieces(params, part);
        let to_merge = pieces.clone();
        let mut next = announce_next(&mut orders, &mut pieces, params, shared);
        while let Some((piece, counts)) = next {
            next = announce_next(&mut orders, &mut pieces, params, shared);
            mbarrier::wait(shared + QUERY.empty, q_parity ^ 1);
            q_parity ^= 1;
            if special::lane() == 0 {
                load_q(q, &QUERY, tiles(D_QK), tile, piece.request, shared);
            }
            let lists = Lists::new(params, piece.request, counts);
            let mut block = piece.blocks.start;
            while block < piece.blocks.end {
                let mask = Mask::of_block(&lists, block);
                block += 1;
                let is_last = block == piece.blocks.end;
                let header = Header::new(mask.count(), piece.request, piece.slot, is_last);
                pass_on(&mask, &header, &ring, shared);
                ring.advance();
            }
        }
        announce_end(&ring, shared);
        W::hand_out(params, tile, to_merge, DESK.at(shared));
    }
}

/// Orders the next piece, or the end; the piece, and how many indices of its lists count.
#[inline(always)]
unsafe fn announce_next<P: Pieces>(
    orders: &mut Orders,
    pieces: &mut P,
    params: &SparseParams,
    shared: u32,
) -> Option<(Piece, [u32; 2])> {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(piece) = pieces.next() else {
            orders.give(&Order::END, shared);
            return None;
        };
        let (request, counts) = (piece.request, lists::counts(params, piece.request));
        let blocks = [piece.blocks.start, piece.blocks.end];
        orders.give(&Order { request, blocks, counts }, shared);
        Some((piece, counts))
    }
}

impl Mask {
    /// That of a block: two tokens a lane.
    #[inline(always)]
    unsafe fn of_block(lists: &Lists, block: u32) -> Self {
        let section = lists.section(block);
        // SAFETY: a list of the query token.
        let counts = |token| section.names(unsafe { section.index(token) });
        let (lower, upper) = (counts(special::lane()), counts(special::lane() + 32));
        Self([warp::ballot(lower), warp::ballot(upper)])
    }

    /// How many count.
    #[inline(always)]
    fn count(self) -> i32 {
        (self.0[0].count_ones() + self.0[1].count_ones()) as i32
    }
}

/// Waits until the ring's current block has been gathered, and passes it on with its header and its mask.
#[inline(always)]
unsafe fn pass_on(mask: &Mask, header: &Header, ring: &Ring, shared: u32) {
    let [lower, upper] = mask.0;
    // SAFETY: the gatherers have waited until the tiles were free, and so are headers and mask.
    unsafe {
        mbarrier::wait(ring.barrier(shared, LEFT_LANDED), ring.parity);
        if special::lane() == 0 {
            fence::proxy_async_shared();
            header.store(ring.header(shared, LEFT_HEADERS));
            memory::store_u32x4(shared + MASKS + MASK_BYTES * ring.index, [lower, upper, 0, 0]);
            mbarrier::arrive(ring.barrier(shared, LEFT_FULL));
        }
        mbarrier::wait(ring.barrier(shared, RIGHT_LANDED), ring.parity);
        if special::lane() == 0 {
            fence::proxy_async_shared();
            header.store(ring.header(shared, RIGHT_HEADERS));
            mbarrier::arrive(ring.barrier(shared, RIGHT_FULL));
        }
    }
}

/// Tells both warpgroups that no block follows.
#[inline(always)]
unsafe fn announce_end(ring: &Ring, shared: u32) {
    // SAFETY: as for `pass_on`; nothing is gathered. When the right warpgroup has multiplied a block, the left has read its
    // header long since.
    unsafe {
        mbarrier::wait(ring.barrier(shared, RIGHT_EMPTY), ring.parity ^ 1);
        if special::lane() == 0 {
            Header::end().store(ring.header(shared, LEFT_HEADERS));
            mbarrier::arrive(ring.barrier(shared, LEFT_FULL));
            Header::end().store(ring.header(shared, RIGHT_HEADERS));
            mbarrier::arrive(ring.barrier(shared, RIGHT_FULL));
        }
    }
}
