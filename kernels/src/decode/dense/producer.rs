//! The producer warp: follows the schedule, brings Q and K from global memory into shared memory as soon as there
//! is room, and tells the other warps what they are.

use super::barriers::Ring;
use super::config::*;
use crate::abi::DenseDecodeParams;
use crate::attention::limits::Limits;
use crate::attention::rows::Tile;
use crate::decode::header::Header;
use crate::decode::walk::Walk;
use crate::decode::{block_table, merge, tail};
use crate::ptx::tma::{self, TensorMapAddress};
use crate::ptx::{mbarrier, special, warp};
use crate::tile::swizzle::TILE_BYTES;

/// Runs the producer.
///
/// # Safety
/// One converged warp calls it; the maps and `params` are valid for the launch.
#[inline(always)]
pub unsafe fn run<L: Limits>(
    q: TensorMapAddress,
    kv: TensorMapAddress,
    params: &DenseDecodeParams,
    tile: &Tile,
    part: u32,
    shared: u32,
) {
    tma::prefetch(q);
    tma::prefetch(kv);
    block_table::prefetch(params);
    let mut ring = Ring::new();
    let mut q_parity = 0;
    // SAFETY: the warp is converged; parities follow the same order of blocks as the consumers'.
    unsafe {
        let mut walk = Walk::<L>::new(params, part);
        let to_merge = walk.clone();
        while let Some(piece) = walk.next() {
            mbarrier::wait(shared + Q_EMPTY, q_parity ^ 1);
            q_parity ^= 1;
            if special::lane() == 0 {
                load_q(q, tile, piece.request, shared);
            }
            let mut block = piece.blocks.start;
            let mut ids = 0;
            while block < piece.blocks.end {
                let offset = (block - piece.blocks.start) % 32;
                if offset == 0 {
                    ids = block_table::next_ids(params, &piece, block);
                }
                let id = warp::broadcast(ids, offset);
                let is_last = block + 1 == piece.blocks.end;
                let tokens = piece.length - (block * TILE) as i32;
                let hidden = tail::hidden::<L>(params, tokens);
                let header = Header::new(tokens, piece.request, piece.slot, is_last).hiding(hidden);
                load_block(kv, [tile.kv_head(), id], &header, &ring, shared);
                ring.advance();
                block += 1;
            }
        }
        announce_end(&ring, shared);
        merge::hand_out(params, tile, to_merge, DESK.at(shared));
    }
}

/// Issues the nine boxes of Q.
#[inline(always)]
unsafe fn load_q(q: TensorMapAddress, tile: &Tile, request: u32, shared: u32) {
    // SAFETY: Q is empty; the barrier expects exactly these boxes.
    unsafe {
        mbarrier::arrive_expect(shared + Q_FULL, BLOCK_BYTES);
        let mut i = 0;
        while i < QK_TILES {
            let coordinates = [i * TILE, tile.first_row, tile.group, request];
            tma::load_4d(q, shared + Q + i * TILE_BYTES, shared + Q_FULL, coordinates);
            i += 1;
        }
    }
}

/// Issues a K block in two units, each with its header when its place in the ring is free. `at` is KV head and
/// block id.
#[inline(always)]
unsafe fn load_block(
    kv: TensorMapAddress,
    at: [u32; 2],
    header: &Header,
    ring: &Ring,
    shared: u32,
) {
    // SAFETY: the waits make sure that the tiles are free; the barriers expect exactly these boxes.
    unsafe {
        mbarrier::wait(ring.barrier(shared, LEFT_EMPTY), ring.parity ^ 1);
        if special::lane() == 0 {
            let full = ring.barrier(shared, LEFT_FULL);
            header.store(ring.header(shared, LEFT_HEADERS));
            mbarrier::arrive_expect(full, LEFT_BYTES);
            load_tiles(kv, at, ring, shared, full, 0, LEFT_TILES);
        }
        mbarrier::wait(ring.barrier(shared, RIGHT_EMPTY), ring.parity ^ 1);
        if special::lane() == 0 {
            let full = ring.barrier(shared, RIGHT_FULL);
            header.store(ring.header(shared, RIGHT_HEADERS));
            mbarrier::arrive_expect(full, RIGHT_BYTES);
            load_tiles(kv, at, ring, shared, full, LEFT_TILES, QK_TILES);
        }
    }
}

/// Tells both warpgroups that no block follows.
#[inline(always)]
unsafe fn announce_end(ring: &Ring, shared: u32) {
    // SAFETY: as for `load_block`; nothing is copied. When the right warpgroup has multiplied a block, the left has
    // read its header long since.
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

#[inline(always)]
unsafe fn load_tiles(
    kv: TensorMapAddress,
    [kv_head, id]: [u32; 2],
    ring: &Ring,
    shared: u32,
    full: u32,
    first: u32,
    end: u32,
) {
    let mut i = first;
    while i < end {
        // SAFETY: the caller's promise.
        unsafe { tma::load_4d(kv, ring.tile(shared, i), full, [i * TILE, 0, kv_head, id]) };
        i += 1;
    }
}
