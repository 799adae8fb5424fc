//! K blocks of an FP8 cache, as the producer loads them.

use super::config::*;
use crate::decode::dense::barriers::Ring;
use crate::decode::dense::config::{LEFT_TILES, QK_TILES, RIGHT_HEADERS};
use crate::decode::dense::producer::{Source, Unit};
use crate::ptx::tma::{self, TensorMapAddress};
use crate::tile::swizzle::TILE_BYTES;

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
    unsafe fn load_left(&self, [head, id]: [u32; 2], ring: &Ring, shared: u32, landed: u32) {
        // SAFETY: the caller's promise. The scales of the block before are no longer needed: the left tiles are free
        // when its scores are there, for which the converter has done all of it.
        unsafe {
            tma::load_4d(self.scales, scales(ring, shared), landed, [0, 0, head, id]);
            tma::load_4d(self.codes, codes(ring, shared, 0), landed, [0, 0, head, id]);
        }
    }

    #[inline(always)]
    unsafe fn load_right(&self, [head, id]: [u32; 2], ring: &Ring, shared: u32, landed: u32) {
        let rope = ring.tile(shared, QK_TILES - 1);
        // SAFETY: the caller's promise.
        unsafe {
            tma::load_4d(self.codes, codes(ring, shared, 1), landed, [UNIT_CODES, 0, head, id]);
            tma::load_4d(self.rope, rope, landed, [0, 0, head, id]);
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
