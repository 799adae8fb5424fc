//! The producer warp: follows the schedule, brings Q and K from global memory into shared memory as soon as there
//! is room, and tells the other warps what they are.

use super::barriers::Ring;
use super::config::*;
use crate::abi::DenseDecodeParams;
use crate::attention::rows::Tile;
use crate::decode::header::Header;
use crate::decode::walk::Walk;
use crate::decode::{block_table, merge};
use crate::ptx::tma::{self, TensorMapAddress};
use crate::ptx::{mbarrier, special, warp};
use crate::tile::swizzle::TILE_BYTES;

/// How K blocks come into the ring: in two units, each counted on a barrier of its own.
pub trait Source {
    /// The unit that brings the left tiles.
    const LEFT: Unit;
    /// The unit that brings the right tiles.
    const RIGHT: Unit;

    /// Brings what describes the cache to where copies look for it.
    fn prefetch(&self);

    /// Issues the copies of the left unit, counted on the barrier `landed`. `at` is KV head and block id.
    ///
    /// # Safety
    /// One thread calls it; the left tiles of the ring's current block are free, and `landed` expects the unit.
    unsafe fn load_left(&self, at: [u32; 2], ring: &Ring, shared: u32, landed: u32);

    /// The same of the right unit.
    ///
    /// # Safety
    /// As for the left unit.
    unsafe fn load_right(&self, at: [u32; 2], ring: &Ring, shared: u32, landed: u32);
}

/// What is loaded as one.
pub struct Unit {
    /// `[stage]` barriers that its copies complete: one arrival, and the bytes.
    pub landed: u32,
    /// Its bytes.
    pub bytes: u32,
    /// `[stage]` where its header goes.
    pub headers: u32,
}

/// A cache of 16-bit elements, whose tiles are copied as they are.
pub struct Elements(pub TensorMapAddress);

impl Source for Elements {
    const LEFT: Unit = Unit { landed: LEFT_FULL, bytes: LEFT_BYTES, headers: LEFT_HEADERS };
    const RIGHT: Unit = Unit { landed: RIGHT_FULL, bytes: RIGHT_BYTES, headers: RIGHT_HEADERS };

    #[inline(always)]
    fn prefetch(&self) {
        tma::prefetch(self.0);
    }

    #[inline(always)]
    unsafe fn load_left(&self, at: [u32; 2], ring: &Ring, shared: u32, landed: u32) {
        // SAFETY: the caller's promise.
        unsafe { load_tiles(self.0, at, ring, shared, landed, 0, LEFT_TILES) };
    }

    #[inline(always)]
    unsafe fn load_right(&self, at: [u32; 2], ring: &Ring, shared: u32, landed: u32) {
        // SAFETY: the caller's promise.
        unsafe { load_tiles(self.0, at, ring, shared, landed, LEFT_TILES, QK_TILES) };
    }
}

/// Runs the producer.
///
/// # Safety
/// One converged warp calls it; the maps and `params` are valid for the launch.
#[inline(always)]
pub unsafe fn run<S: Source>(
    q: TensorMapAddress,
    kv: &S,
    params: &DenseDecodeParams,
    tile: &Tile,
    part: u32,
    shared: u32,
) {
    tma::prefetch(q);
    kv.prefetch();
    block_table::prefetch(params);
    let mut ring = Ring::new();
    let mut q_parity = 0;
    // SAFETY: the warp is converged; parities follow the same order of blocks as the consumers'.
    unsafe {
        let mut walk = Walk::new(params, part);
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
                let header = Header::new(tokens, piece.request, piece.slot, is_last);
                load_block(kv, [tile.kv_head(), id], &header, &ring, shared);
                ring.advance();
                block += 1;
            }
        }
        announce_end::<S>(&ring, shared);
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
unsafe fn load_block<S: Source>(kv: &S, at: [u32; 2], header: &Header, ring: &Ring, shared: u32) {
    // SAFETY: the waits make sure that the tiles are free; the barriers expect exactly these boxes.
    unsafe {
        mbarrier::wait(ring.barrier(shared, LEFT_EMPTY), ring.parity ^ 1);
        if special::lane() == 0 {
            let landed = ring.barrier(shared, S::LEFT.landed);
            header.store(ring.header(shared, S::LEFT.headers));
            mbarrier::arrive_expect(landed, S::LEFT.bytes);
            kv.load_left(at, ring, shared, landed);
        }
        mbarrier::wait(ring.barrier(shared, RIGHT_EMPTY), ring.parity ^ 1);
        if special::lane() == 0 {
            let landed = ring.barrier(shared, S::RIGHT.landed);
            header.store(ring.header(shared, S::RIGHT.headers));
            mbarrier::arrive_expect(landed, S::RIGHT.bytes);
            kv.load_right(at, ring, shared, landed);
        }
    }
}

/// Tells both warpgroups that no block follows.
#[inline(always)]
unsafe fn announce_end<S: Source>(ring: &Ring, shared: u32) {
    // SAFETY: as for `load_block`; nothing is copied. When the right warpgroup has multiplied a block, the left has
    // read its header long since.
    unsafe {
        mbarrier::wait(ring.barrier(shared, RIGHT_EMPTY), ring.parity ^ 1);
        if special::lane() == 0 {
            Header::end().store(ring.header(shared, S::LEFT.headers));
            mbarrier::arrive(ring.barrier(shared, S::LEFT.landed));
            Header::end().store(ring.header(shared, S::RIGHT.headers));
            mbarrier::arrive(ring.barrier(shared, S::RIGHT.landed));
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
