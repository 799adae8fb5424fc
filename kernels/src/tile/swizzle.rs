//! The 128-byte swizzle of TMA and `wgmma`. PTX ISA: Asynchronous Data Copy, Swizzling Modes.
//!
//! A *swizzled tile* is 64 rows of 64 16-bit elements: 8,192 bytes, aligned to 1,024. Row `r` occupies the
//! 128 bytes at `128 r`; inside a row, the 16-byte chunk `c` lies where chunk `c XOR (r mod 8)` would. Eight
//! threads that read the same chunk of eight rows so touch eight different bank groups.

/// Rows, and elements in a row, of a tile.
pub const TILE: u32 = 64;
/// Bytes of a row.
pub const ROW_BYTES: u32 = 128;
/// Bytes of a tile.
pub const TILE_BYTES: u32 = TILE * ROW_BYTES;
/// Bytes of a chunk, the unit that the swizzle moves.
pub const CHUNK_BYTES: u32 = 16;
/// Chunks in a row.
pub const ROW_CHUNKS: u32 = ROW_BYTES / CHUNK_BYTES;
/// Rows after which the pattern repeats, and the alignment that a tile needs so that it starts there.
pub const ATOM_BYTES: u32 = 8 * ROW_BYTES;

/// Offset in bytes of 16-byte chunk `chunk` of row `row` from the start of its tile.
#[must_use]
pub const fn chunk_offset(row: u32, chunk: u32) -> u32 {
    row * ROW_BYTES + (chunk ^ (row % 8)) * CHUNK_BYTES
}

/// Bytes of a row of a narrow tile: 64 8-bit elements.
pub const NARROW_ROW_BYTES: u32 = 64;
/// Rows after which the pattern of a narrow tile repeats, and its alignment.
pub const NARROW_ATOM_BYTES: u32 = 8 * NARROW_ROW_BYTES;

/// The same in a narrow tile, with the 64-byte swizzle: chunk `c` of row `r` lies where chunk `c XOR (r / 2 mod 4)` would.
#[must_use]
pub const fn narrow_chunk_offset(row: u32, chunk: u32) -> u32 {
    row * NARROW_ROW_BYTES + (chunk ^ (row / 2 % 4)) * CHUNK_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_has_its_own_place() {
        let mut seen = [false; (TILE * ROW_CHUNKS) as usize];
        for row in 0..TILE {
            for chunk in 0..ROW_CHUNKS {
                let place = (chunk_offset(row, chunk) / CHUNK_BYTES) as usize;
                assert!(!seen[place]);
                seen[place] = true;
            }
        }
    }

    /// `wgmma` reads eight rows of one chunk of a narrow tile at a time.
    #[test]
    fn eight_rows_of_a_narrow_chunk_hit_every_bank_once() {
        for chunk in 0..NARROW_ROW_BYTES / CHUNK_BYTES {
            let mut places = [0; 8];
            for row in 0..8 {
                places[(narrow_chunk_offset(row, chunk) / CHUNK_BYTES) as usize % 8] += 1;
            }
            assert_eq!(places, [1; 8]);
        }
    }

    /// `stmatrix` writes eight rows of one chunk at a time: all 32 banks, each once.
    #[test]
    fn eight_rows_of_a_chunk_hit_every_bank_once() {
        for chunk in 0..ROW_CHUNKS {
            for first in (0..TILE).step_by(8) {
                let mut banks = [0; 32];
                for row in first..first + 8 {
                    for word in 0..4 {
                        banks[(chunk_offset(row, chunk) / 4 + word) as usize % 32] += 1;
                    }
                }
                assert_eq!(banks, [1; 32]);
            }
        }
    }
}
