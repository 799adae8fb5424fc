//! The rope parts of a block: a tile in bf16, swizzled, that comes to count in units where it lies.

use core::ops::Range;

use seq_macro::seq;

use super::dequantise;
use super::unit;
use crate::ptx::{shared as memory, special};
use crate::tile::element::Element;
use crate::tile::swizzle::{CHUNK_BYTES, ROW_BYTES, ROW_CHUNKS, TILE_BYTES};

/// Chunks that a lane has on their way at once.
const AT_ONCE: u32 = 4;

/// The size of the largest rope part, of those that this lane looks at, in the rows `seen` of the tile at `tile`.
///
/// # Safety
/// The tile has landed.
#[inline(always)]
pub unsafe fn largest(tile: u32, seen: Range<u32>) -> u32 {
    let lane = special::lane();
    let (chunk, mut token, mut largest) = (lane % ROW_CHUNKS, seen.start + lane / ROW_CHUNKS, 0);
    while token < seen.end {
        // SAFETY: chunks of the tile.
        let pairs = unsafe { memory::load_u32x4(tile + token * ROW_BYTES + chunk * CHUNK_BYTES) };
        let [a, b, c, d] =
            pairs.map(|pair| unit::rope_size(pair << 16).max(unit::rope_size(pair & 0xffff_0000)));
        largest = largest.max(a.max(b)).max(c.max(d));
        token += 32 / ROW_CHUNKS;
    }
    largest
}

/// Makes of the tile at `tile` one of type `E` that counts in units.
///
/// # Safety
/// All lanes of one warp call it; the tile has landed.
#[inline(always)]
pub unsafe fn convert<E: Element>(tile: u32, inverse: f32) {
    const STEP: u32 = AT_ONCE * 32 * CHUNK_BYTES;
    let first = tile + special::lane() * CHUNK_BYTES;
    let mut offset = 0;
    while offset < TILE_BYTES {
        // SAFETY: inside the tile, 16-byte aligned, and no other thread's.
        unsafe {
            seq!(I in 0..4 {
                let pairs~I = memory::load_u32x4(first + offset + I * 32 * CHUNK_BYTES);
            });
            seq!(I in 0..4 {
                let elements = pairs~I.map(|pair| dequantise::rope::<E>(pair, inverse));
                memory::store_u32x4(first + offset + I * 32 * CHUNK_BYTES, elements);
            });
        }
        offset += STEP;
    }
}
