//! The producer warp: Q and K from global memory into shared memory, as soon as there is room.

use super::barriers::Ring;
use super::config::*;
use crate::abi::DenseDecodeParams;
use crate::attention::rows::Tile;
use crate::decode::walk::{Piece, Walk};
use crate::ptx::tma::{self, TensorMapAddress};
use crate::ptx::{global, grid, mbarrier, special, warp};
use crate::tile::swizzle::TILE_BYTES;

/// Runs the producer.
///
/// # Safety
/// One converged warp calls it; the maps and `params` are valid for the launch.
#[inline(always)]
pub unsafe fn run(
    q: TensorMapAddress,
    kv: TensorMapAddress,
    params: &DenseDecodeParams,
    tile: &Tile,
    mut walk: Walk,
    shared: u32,
) {
    tma::prefetch(q);
    tma::prefetch(kv);
    let mut ring = Ring::new();
    let mut q_parity = 0;
    // SAFETY: the warp is converged; parities follow the same order of blocks as the consumers'.
    unsafe {
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
                    ids = next_block_ids(params, &piece, block);
                }
                let id = warp::broadcast(ids, offset);
                load_block(kv, [tile.kv_head(), id], &ring, shared);
                ring.advance();
                block += 1;
            }
        }
    }
    // All loads are under way: time to bring in the combine kernel.
    grid::launch_dependents();
}

/// Ids of the 32 blocks from `block` on, one in each lane: one round trip for 32 blocks.
#[inline(always)]
unsafe fn next_block_ids(params: &DenseDecodeParams, piece: &Piece, block: u32) -> u32 {
    let mine = block + special::lane();
    if mine >= piece.blocks.end {
        return 0;
    }
    let entry = u64::from(piece.request) * u64::from(params.table_stride) + u64::from(mine);
    // SAFETY: an entry for a block that holds cached tokens.
    unsafe { global::load_i32((params.block_table as *const i32).add(entry as usize)) as u32 }
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

/// Issues a K block in two units, each when its place in the ring is free. `at` is KV head and block id.
#[inline(always)]
unsafe fn load_block(kv: TensorMapAddress, at: [u32; 2], ring: &Ring, shared: u32) {
    // SAFETY: the waits make sure that the tiles are free; the barriers expect exactly these boxes.
    unsafe {
        mbarrier::wait(ring.barrier(shared, LEFT_EMPTY), ring.parity ^ 1);
        if special::lane() == 0 {
            let full = ring.barrier(shared, LEFT_FULL);
            mbarrier::arrive_expect(full, LEFT_BYTES);
            load_tiles(kv, at, ring, shared, full, 0, LEFT_TILES);
        }
        mbarrier::wait(ring.barrier(shared, RIGHT_EMPTY), ring.parity ^ 1);
        if special::lane() == 0 {
            let full = ring.barrier(shared, RIGHT_FULL);
            mbarrier::arrive_expect(full, RIGHT_BYTES);
            load_tiles(kv, at, ring, shared, full, LEFT_TILES, QK_TILES);
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
