//! 64-bit descriptors of `wgmma` operands in shared memory. PTX ISA: Asynchronous Warpgroup Level Matrix
//! Instructions, Matrix Descriptor Format.
//!
//! | bits | field |
//! |---|---|
//! | 0–13 | start address / 16 |
//! | 16–29 | leading-dimension byte offset / 16 |
//! | 32–45 | stride-dimension byte offset / 16 |
//! | 49–51 | base offset: 0, tiles start on a 1,024-byte boundary |
//! | 62–63 | swizzle: 1 for 128 bytes, 2 for 64 |

use super::swizzle::{ATOM_BYTES, NARROW_ATOM_BYTES, TILE_BYTES};

/// Bytes from one step to the next inside a tile whose rows run along K: 16 elements of 16 bits, or 32 of 8.
const K_MAJOR_STEP_BYTES: u32 = 16 * 2;
/// Bytes from one step of 16 K elements to the next in a tile whose rows *are* K.
const MN_MAJOR_STEP_BYTES: u32 = 16 * 128;

const SWIZZLE_128B: u64 = 1 << 62;
const SWIZZLE_64B: u64 = 2 << 62;

const fn field(bytes: u32) -> u64 {
    (bytes as u64 & 0x3_ffff) >> 4
}

const fn fields(address: u32, leading: u32, stride: u32) -> u64 {
    field(address) | field(leading) << 16 | field(stride) << 32
}

const fn encode(address: u32, leading: u32, stride: u32) -> u64 {
    fields(address, leading, stride) | SWIZZLE_128B
}

/// Operand whose rows (M or N) are the rows of swizzled tiles, K running along the row: Q, K and P.
///
/// `tile` is the shared-memory address of the first tile. Groups of eight rows are 1,024 bytes apart; the
/// leading offset is not used with a swizzle as wide as the tile.
#[must_use]
pub const fn k_major(tile: u32) -> u64 {
    encode(tile, 16, ATOM_BYTES)
}

/// Operand whose K dimension is the rows of swizzled tiles: V seen through the K tiles, tokens along K.
///
/// `tile` is the address of the first of consecutive tiles, each 64 wide in N. Tiles are 8,192 bytes apart,
/// groups of eight rows 1,024.
#[must_use]
pub const fn mn_major(tile: u32) -> u64 {
    encode(tile, TILE_BYTES, ATOM_BYTES)
}

/// Operand whose rows (M or N) are those of a narrow swizzled tile, 64 8-bit elements of K along each: V transposed.
///
/// `tile` is the address of its first row. Groups of eight rows are 512 bytes apart; the leading offset is not used.
#[must_use]
pub const fn narrow_k_major(tile: u32) -> u64 {
    fields(tile, 16, NARROW_ATOM_BYTES) | SWIZZLE_64B
}

/// `narrow_k_major` of 32-element step `step` (0 or 1), from that of step 0.
#[must_use]
pub const fn narrow_k_major_step(first: u64, step: u32) -> u64 {
    advance(first, step * K_MAJOR_STEP_BYTES)
}

/// `k_major` of tile `step / 4`, step `step % 4` in it of 32 bytes, from that of step 0.
#[must_use]
pub const fn k_major_step(first: u64, step: u32) -> u64 {
    advance(first, step / 4 * TILE_BYTES + step % 4 * K_MAJOR_STEP_BYTES)
}

/// `mn_major` of 16-row step `step` (0–3), from that of step 0.
#[must_use]
pub const fn mn_major_step(first: u64, step: u32) -> u64 {
    advance(first, step * MN_MAJOR_STEP_BYTES)
}

/// Moves the start address, which cannot carry into the next field: shared memory is smaller than 256 KB.
/// An addition on the low word alone is one instruction; on 64 bits it would be three.
const fn advance(descriptor: u64, bytes: u32) -> u64 {
    let low = descriptor as u32 + field(bytes) as u32;
    descriptor >> 32 << 32 | low as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words that CUTLASS and FlashMLA compute for the same layouts.
    #[test]
    fn known_words() {
        assert_eq!(k_major(0), 0x4000_0040_0001_0000);
        assert_eq!(k_major_step(k_major(0x2000), 3), 0x4000_0040_0001_0206);
        assert_eq!(mn_major(0), 0x4000_0040_0200_0000);
        assert_eq!(mn_major_step(mn_major(0x8000), 1), 0x4000_0040_0200_0880);
        assert_eq!(narrow_k_major(0x1000), 0x8000_0020_0001_0100);
        assert_eq!(narrow_k_major_step(narrow_k_major(0x1000), 1), 0x8000_0020_0001_0102);
    }

    /// Steps move the address alone, as if the descriptor had been made for it.
    #[test]
    fn steps_do_not_carry_out_of_the_address() {
        let last_block = 227 * 1024 / 1024 * 1024 - 9 * TILE_BYTES;
        for step in 0..36 {
            let address = last_block + step / 4 * TILE_BYTES + step % 4 * 32;
            assert_eq!(k_major_step(k_major(last_block), step), k_major(address));
        }
        for step in 0..4 {
            let address = last_block + step * 2048;
            assert_eq!(mn_major_step(mn_major(last_block), step), mn_major(address));
        }
    }
}
