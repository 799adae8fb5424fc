//! K blocks of an FP8 cache, as the producer loads them.

use super::config::*;
use crate::decode::block_table::KBox;
use crate::decode::dense::barriers::Ring;
use crate::decode::dense::config::{LEFT_TILES, QK_TILES, RIGHT_HEADERS};
use crate::decode::dense::producer::{Source, Unit};
use crate::ptx::tma::{self, TensorMapAddress};
use crate::tile::swizzle::{ROW_BYTES, TILE_BYTES};

/// The maps of a cache, as `config` describes them.
pub struct Codes {
    /// e4m3 codes.
    pub codes: TensorMapAddress,
    /// Scales.
    pub scales: TensorMapAddress,
    /// Rope parts.
    pub rope: TensorMapAddress,
}

impl Source for Codes {
    const LEFT: Unit = Unit { landed: LEFT_LANDED, bytes: LEFT_BYTES, headers: CODE_HEADERS };
    const RIGHT: Unit = Unit { landed: RIGHT_LANDED, bytes: RIGHT_BYTES, headers: RIGHT_HEADERS };

    #[inline(always)]
    fn prefetch(&self) {
        tma::prefetch(self.codes);
        tma::prefetch(self.scales);
        tma::prefetch(self.rope);
    }

    #[inline(always)]
    unsafe fn load_left(&self, kv_head: u32, at: KBox, ring: &Ring, shared: u32, landed: u32) {
        let KBox { id, token, row } = at;
        let (scales, codes) = (scales(ring, shared), codes(ring, shared, 0));
        // SAFETY: the caller's promise. The scales of the block before are no longer needed: the left tiles are free
        // when its scores are there, for which the converter has done all of it.
        unsafe {
            let to = scales + row * TOKEN_SCALE_BYTES;
            tma::load_4d(self.scales, to, landed, [0, token, kv_head, id]);
            tma::load_4d(self.codes, codes + row * UNIT_CODES, landed, [0, token, kv_head, id]);
        }
    }

    #[inline(always)]
    unsafe fn load_right(&self, kv_head: u32, at: KBox, ring: &Ring, shared: u32, landed: u32) {
        let KBox { id, token, row } = at;
        let (codes, rope) = (codes(ring, shared, 1), ring.tile(shared, QK_TILES - 1));
        // SAFETY: the caller's promise.
        unsafe {
            let to = codes + row * UNIT_CODES;
            tma::load_4d(self.codes, to, landed, [UNIT_CODES, token, kv_head, id]);
            tma::load_4d(self.rope, rope + row * ROW_BYTES, landed, [0, token, kv_head, id]);
        }
    }
}

/// Address of the first tile that load unit `unit` becomes.
#[inline(always)]
pub fn tiles(ring: &Ring, shared: u32, unit: u32) -> u32 {
    ring.tile(shared, unit * LEFT_TILES)
}

/// Address of the codes of load unit `unit`: behind the first half of its tiles.
#[inline(always)]
pub fn codes(ring: &Ring, shared: u32, unit: u32) -> u32 {
    tiles(ring, shared, unit) + LEFT_TILES / 2 * TILE_BYTES
}

/// Address of the scales of the current block.
#[inline(always)]
pub fn scales(ring: &Ring, shared: u32) -> u32 {
    shared + SCALES + ring.index * SCALE_BYTES
}
