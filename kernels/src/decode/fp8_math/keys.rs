//! K blocks of a `Planar644` cache into the ring.

use super::config::*;
use crate::decode::block_table::{Boxes, KBox};
use crate::decode::dense::barriers::Ring;
use crate::decode::dense::producer::QUERY;
use crate::decode::header::Header;
use crate::decode::merge::Desk;
use crate::decode::producer::{Places, Query};
use crate::ptx::tma::{self, TensorMapAddress};
use crate::ptx::{mbarrier, special};
use crate::tile::swizzle::ROW_BYTES;

/// The maps of a cache, as `config` describes them.
#[derive(Clone, Copy)]
pub struct Planes {
    /// e4m3 codes.
    pub codes: TensorMapAddress,
    /// Rope parts, divided by the scales.
    pub rope: TensorMapAddress,
    /// Scales.
    pub scales: TensorMapAddress,
}

/// The ring, filled from a cache.
pub struct Keys {
    planes: Planes,
    box_rows: u32,
    ring: Ring,
}

impl Keys {
    /// Before the first K block, of a cache whose boxes have `box_rows` tokens.
    #[inline(always)]
    pub const fn new(planes: Planes, box_rows: u32) -> Self {
        Self { planes, box_rows, ring: Ring::new() }
    }

    /// Issues the copies of a box, counted on the barrier `landed`.
    #[inline(always)]
    unsafe fn load_box(&self, kv_head: u32, at: KBox, shared: u32, landed: u32) {
        let (KBox { id, token, row }, Planes { codes, rope, scales }) = (at, self.planes);
        let place = |tile| self.ring.tile(shared, tile) + row * ROW_BYTES;
        // SAFETY: the caller's promise.
        unsafe {
            let mut tile = 0;
            while tile < CODE_TILES {
                let from = [tile * TILE_CODES, token, kv_head, id];
                tma::load_4d(codes, place(tile), landed, from);
                tile += 1;
            }
            tma::load_4d(rope, place(K_ROPE_TILE), landed, [0, token, kv_head, id]);
            let to = landed_scale(&self.ring, shared, self.box_rows, row);
            tma::load_4d(scales, to, landed, [token, 0, kv_head, id]);
        }
    }
}

impl Places for Keys {
    const Q: Query = QUERY;
    const DESK: Desk = DESK;

    #[inline(always)]
    fn prefetch(&self) {
        tma::prefetch(self.planes.codes);
        tma::prefetch(self.planes.rope);
        tma::prefetch(self.planes.scales);
    }

    #[inline(always)]
    unsafe fn load(&mut self, kv_head: u32, boxes: &Boxes, header: &Header, shared: u32) {
        // SAFETY: the wait makes sure that the place is free; the barrier expects exactly these boxes.
        unsafe {
            mbarrier::wait(self.ring.barrier(shared, KEYS_EMPTY), self.ring.parity ^ 1);
            let landed = self.ring.barrier(shared, KEYS_FULL);
            if special::lane() == 0 {
                header.store(self.ring.header(shared, KEYS_HEADERS));
                mbarrier::arrive_expect(landed, KEYS_BYTES);
            }
            boxes.for_each(|at| self.load_box(kv_head, at, shared, landed));
        }
        self.ring.advance();
    }

    /// Tells left and the transposer, which tells right.
    #[inline(always)]
    unsafe fn announce_end(&self, shared: u32) {
        // SAFETY: as for `load`; nothing is copied.
        unsafe {
            mbarrier::wait(self.ring.barrier(shared, KEYS_EMPTY), self.ring.parity ^ 1);
            if special::lane() == 0 {
                Header::end().store(self.ring.header(shared, KEYS_HEADERS));
                mbarrier::arrive(self.ring.barrier(shared, KEYS_FULL));
            }
        }
    }
}

/// Where the scale of token `token` of the ring's current block lands: boxes of few tokens leave gaps.
#[inline(always)]
pub fn landed_scale(ring: &Ring, shared: u32, box_rows: u32, token: u32) -> u32 {
    // Box sizes are powers of two.
    let (first, rest) = (token & !(box_rows - 1), token & (box_rows - 1));
    let bytes_per_token = if box_rows == 16 { SCALE_ALIGNMENT / 16 } else { 4 };
    shared + LANDED_SCALES + ring.index * LANDED_SCALE_BYTES + first * bytes_per_token + 4 * rest
}
