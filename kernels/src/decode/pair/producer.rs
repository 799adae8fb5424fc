//! K blocks into their places: each tile when the one before it in the same place has been multiplied.

use seq_macro::seq;

use super::barriers::halves;
use super::config::*;
use crate::decode::block_table::Boxes;
use crate::decode::dense::config::TILE;
use crate::decode::header::Header;
use crate::decode::merge::Desk;
use crate::decode::producer::{self, Query};
use crate::decode::ring::Ring;
use crate::ptx::tma::{self, TensorMapAddress};
use crate::ptx::{cluster, mbarrier, special};
use crate::tile::swizzle::{ROW_BYTES, TILE_BYTES};

/// Where the next block goes.
pub struct Places {
    kv: TensorMapAddress,
    parity: u32,
    v: Ring<STAGES>,
}

impl Places {
    /// Before the first K block.
    #[inline(always)]
    pub const fn new(kv: TensorMapAddress) -> Self {
        Self { kv, parity: 0, v: Ring::new() }
    }
}

impl producer::Places for Places {
    const Q: Query = Query { tiles: Q, full: Q_FULL, empty: Q_EMPTY };
    const DESK: Desk = DESK;

    #[inline(always)]
    fn prefetch(&self) {
        tma::prefetch(self.kv);
    }

    /// Tile by tile.
    #[inline(always)]
    unsafe fn load(&mut self, kv_head: u32, boxes: &Boxes, header: &Header, shared: u32) {
        let [first, second] = halves(shared, cluster::rank(), self.v.tiles(shared));
        let parts = [first, second, shared + K_ROPE];
        // SAFETY: the waits make sure that the tiles are free; the barriers expect exactly these boxes.
        unsafe {
            mbarrier::wait(self.v.barrier(shared, V_EMPTY), self.v.parity ^ 1);
            if special::lane() == 0 {
                header.store(self.v.header(shared));
            }
            seq!(T in 0..9 {
                mbarrier::wait(shared + SCORED + 8 * T, self.parity ^ 1);
                let full = shared + FULL + 8 * (T / HALF_TILES);
                if special::lane() == 0 {
                    if T == 0 {
                        header.store(shared + HEADER);
                    }
                    if T % HALF_TILES == 0 {
                        let bytes = if T == ROPE { TILE_BYTES } else { HALF_BYTES };
                        mbarrier::arrive_expect(full, bytes);
                    }
                }
                let to = parts[(T / HALF_TILES) as usize] + T % HALF_TILES * TILE_BYTES;
                boxes.for_each(|at| {
                    let coordinates = [T * TILE, at.token, kv_head, at.id];
                    tma::load_4d(self.kv, to + at.row * ROW_BYTES, full, coordinates);
                });
            });
        }
        self.parity ^= 1;
        self.v.advance();
    }

    /// Tells *own*, which tells *other*.
    #[inline(always)]
    unsafe fn announce_end(&self, shared: u32) {
        // SAFETY: as for `load`; nothing is copied.
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
