//! Where codes lie before they are converted, and what becomes of them.

use super::config::*;
use crate::decode::dense::barriers::Ring;
use crate::decode::dense::config::LEFT_TILES;
use crate::tile::swizzle::TILE_BYTES;

/// Address of the first tile that load unit `unit` becomes.
#[inline(always)]
pub fn tiles(ring: &Ring, shared: u32, unit: u32) -> u32 {
    ring.tile(shared, unit * LEFT_TILES)
}

/// Address of the codes of load unit `unit`, which become `count` tiles: the upper half of these. Tile by tile, 64 tokens
/// after each other.
#[inline(always)]
pub fn codes(ring: &Ring, shared: u32, unit: u32, count: u32) -> u32 {
    tiles(ring, shared, unit) + count * (TILE_BYTES - TILE_CODE_BYTES)
}

/// Address of the scales of the current block.
#[inline(always)]
pub fn scales(ring: &Ring, shared: u32) -> u32 {
    shared + SCALES + ring.index * SCALE_BYTES
}
