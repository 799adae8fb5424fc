//! K blocks into the ring, in two units: the left tiles, which are free before the rest, and the right ones.

use super::barriers::Ring;
use super::config::*;
use crate::decode::block_table::{Boxes, KBox};
use crate::decode::header::Header;
use crate::decode::merge::Desk;
use crate::decode::producer::{Places, Query};
use crate::ptx::tma::{self, TensorMapAddress};
use crate::ptx::{mbarrier, special};
use crate::tile::swizzle::{ROW_BYTES, TILE_BYTES};

/// Where Q goes.
pub const QUERY: Query = Query { tiles: Q, full: Q_FULL, empty: Q_EMPTY };

/// How K blocks come into the ring: in two units, each counted on a barrier of its own.
pub trait Source {
    /// The unit that brings the left tiles.
    const LEFT: Unit;
    /// The unit that brings the right tiles.
    const RIGHT: Unit;

    /// Brings what describes the cache to where copies look for it.
    fn prefetch(&self);

    /// Issues the copies of a box of the left unit, counted on the barrier `landed`.
    ///
    /// # Safety
    /// One thread calls it; the left tiles of the ring's current block are free, and `landed` expects the unit.
    unsafe fn load_left(&self, kv_head: u32, at: KBox, ring: &Ring, shared: u32, landed: u32);

    /// The same of the right unit.
    ///
    /// # Safety
    /// As for the left unit.
    unsafe fn load_right(&self, kv_head: u32, at: KBox, ring: &Ring, shared: u32, landed: u32);
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
    unsafe fn load_left(&self, kv_head: u32, at: KBox, ring: &Ring, shared: u32, landed: u32) {
        // SAFETY: the caller's promise.
        unsafe { self.load(0, LEFT_TILES, kv_head, at, ring.tile(shared, 0), landed) };
    }

    #[inline(always)]
    unsafe fn load_right(&self, kv_head: u32, at: KBox, ring: &Ring, shared: u32, landed: u32) {
        let to = ring.tile(shared, LEFT_TILES);
        // SAFETY: the caller's promise.
        unsafe { self.load(LEFT_TILES, QK_TILES, kv_head, at, to, landed) };
    }
}

impl Elements {
    /// Issues the copies of a box of the tiles from `first` to `end`, which lie from `to` on.
    #[inline(always)]
    unsafe fn load(&self, first: u32, end: u32, kv_head: u32, at: KBox, to: u32, landed: u32) {
        let KBox { id, token, row } = at;
        let mut to = to + row * ROW_BYTES;
        let mut tile = first;
        while tile < end {
            // SAFETY: the caller's promise.
            unsafe { tma::load_4d(self.0, to, landed, [tile * TILE, token, kv_head, id]) };
            to += TILE_BYTES;
            tile += 1;
        }
    }
}

/// The ring, filled from `source`.
pub struct Stages<S> {
    source: S,
    ring: Ring,
}

impl<S> Stages<S> {
    /// Before the first K block.
    #[inline(always)]
    pub const fn new(source: S) -> Self {
        Self { source, ring: Ring::new() }
    }
}

impl<S: Source> Places for Stages<S> {
    const Q: Query = QUERY;
    const DESK: Desk = DESK;

    #[inline(always)]
    fn prefetch(&self) {
        self.source.prefetch();
    }

    /// In two units, each with its header when its place in the ring is free.
    #[inline(always)]
    unsafe fn load(&mut self, kv_head: u32, boxes: &Boxes, header: &Header, shared: u32) {
        let Self { source, ring } = self;
        // SAFETY: the waits make sure that the tiles are free; the barriers expect exactly these boxes.
        unsafe {
            mbarrier::wait(ring.barrier(shared, LEFT_EMPTY), ring.parity ^ 1);
            let landed = ring.barrier(shared, S::LEFT.landed);
            if special::lane() == 0 {
                header.store(ring.header(shared, S::LEFT.headers));
                mbarrier::arrive_expect(landed, S::LEFT.bytes);
            }
            boxes.for_each(|at| source.load_left(kv_head, at, ring, shared, landed));
            mbarrier::wait(ring.barrier(shared, RIGHT_EMPTY), ring.parity ^ 1);
            let landed = ring.barrier(shared, S::RIGHT.landed);
            if special::lane() == 0 {
                header.store(ring.header(shared, S::RIGHT.headers));
                mbarrier::arrive_expect(landed, S::RIGHT.bytes);
            }
            boxes.for_each(|at| source.load_right(kv_head, at, ring, shared, landed));
        }
        ring.advance();
    }

    /// Tells both warpgroups.
    #[inline(always)]
    unsafe fn announce_end(&self, shared: u32) {
        let ring = &self.ring;
        // SAFETY: as for `load`; nothing is copied. When the right warpgroup has multiplied a block, the left has
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
}
