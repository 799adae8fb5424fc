//! The producer warp: follows the schedule, brings Q and K from global memory into shared memory as soon as there
//! is room, and tells the other warps what they are.

use super::barriers::halves;
use super::config::*;
use crate::abi::DenseDecodeParams;
use crate::attention::limits::Limits;
use crate::attention::rows::Tile;
use crate::decode::dense::config::{BLOCK_BYTES, QK_TILES, TILE};
use crate::decode::header::Header;
use crate::decode::ring::Ring;
use crate::decode::walk::{Cached, Walk};
use crate::decode::{block_table, merge, tail};
use crate::ptx::tma::{self, TensorMapAddress};
use crate::ptx::{cluster, mbarrier, special, warp};
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
    let mut places = Places { parity: 0, v: Ring::new() };
    let mut q_parity = 0;
    // SAFETY: the warp is converged; parities follow the same order of blocks as the consumers'.
    unsafe {
        let mut walk = Walk::new(Cached::<L>::new(params), part);
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
                places.load_block(kv, [tile.kv_head(), id], &header, shared);
                block += 1;
            }
        }
        places.announce_end(shared);
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

/// Where the next block goes.
struct Places {
    parity: u32,
    v: Ring<STAGES>,
}

impl Places {
    /// Issues the tiles of a K block, each when the one in the same place of the block before has been multiplied, with
    /// its headers. `at` is KV head and block id.
    #[inline(always)]
    unsafe fn load_block(
        &mut self,
        kv: TensorMapAddress,
        at: [u32; 2],
        header: &Header,
        shared: u32,
    ) {
        let halves = halves(shared, cluster::rank(), self.v.tiles(shared));
        // SAFETY: the waits make sure that the tiles are free; the barriers expect exactly these boxes.
        unsafe {
            mbarrier::wait(self.v.barrier(shared, V_EMPTY), self.v.parity ^ 1);
            if special::lane() == 0 {
                header.store(self.v.header(shared));
            }
            let mut tile = 0;
            while tile < QK_TILES {
                mbarrier::wait(shared + SCORED + 8 * tile, self.parity ^ 1);
                if special::lane() == 0 {
                    if tile == 0 {
                        header.store(shared + HEADER);
                    }
                    let part = tile / HALF_TILES;
                    let full = shared + FULL + 8 * part;
                    if tile.is_multiple_of(HALF_TILES) {
                        mbarrier::arrive_expect(
                            full,
                            if tile == ROPE { TILE_BYTES } else { HALF_BYTES },
                        );
                    }
                    let first = match part {
                        0 => halves[0],
                        1 => halves[1],
                        _ => shared + K_ROPE,
                    };
                    let to = first + tile % HALF_TILES * TILE_BYTES;
                    tma::load_4d(kv, to, full, [tile * TILE, 0, at[0], at[1]]);
                }
                tile += 1;
            }
        }
        self.parity ^= 1;
        self.v.advance();
    }

    /// Tells *own* that no block follows, which tells *other*.
    #[inline(always)]
    unsafe fn announce_end(&self, shared: u32) {
        // SAFETY: as for `load_block`; nothing is copied.
        unsafe {
            mbarrier::wait(shared + SCORED, self.parity ^ 1);
            mbarrier::wait(self.v.barrier(shared, V_EMPTY), self.v.parity ^ 1);
            if special::lane() == 0 {
                Header::end().store(self.v.header(shared));
                Header::end().store(shared + HEADER);
                mbarrier::arrive(shared + FULL);
            }
        }
    }
}
