//! The producer warp: follows the schedule, brings Q and K from global memory into shared memory as soon as there
//! is room, and tells the other warps what they are. Where a K block goes, and in which pieces, is the kernel's to say.

use super::block_table::{self, Boxes, Ids};
use super::dense::config::{QK_TILES, TILE};
use super::header::Header;
use super::merge::{self, Desk};
use super::tail;
use super::walk::{Cached, Walk};
use crate::abi::DenseDecodeParams;
use crate::attention::limits::Limits;
use crate::attention::rows::Tile;
use crate::ptx::tma::{self, TensorMapAddress};
use crate::ptx::{mbarrier, special};
use crate::tile::swizzle::TILE_BYTES;

/// Where a kernel wants its K blocks.
pub trait Places {
    /// Where the parts of Q and what concerns it lie in shared memory.
    const Q: Query;
    /// Where the merge does its work.
    const DESK: Desk;

    /// Brings what describes the cache to where copies look for it.
    fn prefetch(&self);

    /// Issues the copies of the next K block, which comes in `boxes` of `kv_head`, each when its place is free; its
    /// header goes with them.
    ///
    /// # Safety
    /// One converged warp calls it.
    unsafe fn load(&mut self, kv_head: u32, boxes: &Boxes, header: &Header, shared: u32);

    /// Tells the other warps that no block follows.
    ///
    /// # Safety
    /// As for [`Places::load`].
    unsafe fn announce_end(&self, shared: u32);
}

/// Where Q goes.
pub struct Query {
    /// `[tiles]`.
    pub tiles: u32,
    /// Barrier: Q has landed.
    pub full: u32,
    /// Barrier: Q may be overwritten.
    pub empty: u32,
}

/// Runs the producer.
///
/// # Safety
/// One converged warp calls it; the map of Q, those behind `places` and `params` are valid for the launch.
#[inline(always)]
pub unsafe fn run<L: Limits, P: Places>(
    q: TensorMapAddress,
    mut places: P,
    params: &DenseDecodeParams,
    tile: &Tile,
    part: u32,
    shared: u32,
) {
    tma::prefetch(q);
    places.prefetch();
    block_table::prefetch(params);
    let mut q_parity = 0;
    // SAFETY: the warp is converged; parities follow the same order of blocks as the consumers'.
    unsafe {
        let mut walk = Walk::new(Cached::<L>::new(params), part);
        let to_merge = walk.clone();
        while let Some(piece) = walk.next() {
            // On their way while Q is asked for.
            let mut ids = Ids::first(params, &piece);
            mbarrier::wait(shared + P::Q.empty, q_parity ^ 1);
            q_parity ^= 1;
            if special::lane() == 0 {
                load_q(q, &P::Q, QK_TILES, tile, piece.request, shared);
            }
            let mut block = piece.blocks.start;
            while block < piece.blocks.end {
                let boxes = ids.boxes(params, &piece, block);
                let is_last = block + 1 == piece.blocks.end;
                let tokens = piece.length - (block * TILE) as i32;
                let hidden = tail::hidden::<L>(params, tokens);
                let header = Header::new(tokens, piece.request, piece.slot, is_last).hiding(hidden);
                places.load(tile.kv_head(), &boxes, &header, shared);
                block += 1;
            }
        }
        places.announce_end(shared);
        merge::hand_out(params, tile, to_merge, P::DESK.at(shared));
    }
}

/// Issues the boxes of Q, one for each of `tiles` tiles.
///
/// # Safety
/// One thread calls it; Q is empty.
#[inline(always)]
pub unsafe fn load_q(
    q: TensorMapAddress,
    to: &Query,
    tiles: u32,
    tile: &Tile,
    request: u32,
    shared: u32,
) {
    // SAFETY: Q is empty; the barrier expects exactly these boxes.
    unsafe {
        mbarrier::arrive_expect(shared + to.full, tiles * TILE_BYTES);
        let mut i = 0;
        while i < tiles {
            let coordinates = [i * TILE, tile.first_row, tile.group, request];
            tma::load_4d(q, shared + to.tiles + i * TILE_BYTES, shared + to.full, coordinates);
            i += 1;
        }
    }
}
