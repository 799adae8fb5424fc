//! The transposer: V of the codes of K, for `wgmma` multiplies 8-bit elements only if K, here the tokens, runs along rows.
//!
//! `ldmatrix` with `.trans` takes pairs of bytes for elements. Of 8 tokens × 16 codes a lane gets two codes, of columns
//! `2 c` and `2 c + 1`, of the two tokens `2 q` and `2 q + 1` (`c = lane / 4`, `q = lane % 4`). Two such matrices of 16
//! tokens and a permutation of bytes make words of one column and four tokens each, which `stmatrix` writes as rows of V:
//!
//! ```text
//! byte of a row   16 g + 4 q +  0         1             2             3
//! token           16 g +        2 q       2 q + 1       8 + 2 q       9 + 2 q
//! ```
//!
//! This is the order in which a thread has the columns of the scores, so that P needs no shuffle.
//!
//! Tokens that do not count become zeros: `0 · NaN` would be NaN.

use core::ops::Range;

use seq_macro::seq;

use super::config::*;
use super::keys::landed_scale;
use crate::attention::scaled;
use crate::decode::dense::barriers::{Ring, release_all};
use crate::decode::header::Header;
use crate::ptx::{fence, math, matrix, mbarrier, shared as memory, special, warp};
use crate::tile::swizzle::{self, CHUNK_BYTES, NARROW_ROW_BYTES, ROW_BYTES, TILE_BYTES};

/// Chunks of a row of a tile.
const TILE_CHUNKS: u32 = TILE_CODES / CHUNK_BYTES;
/// Pairs of chunks of a token, which a warp transposes at once.
const PAIRS: u32 = D_LATENT / CHUNK_BYTES / 2;
/// Bytes of V that become of a chunk.
const CHUNK_COLUMNS_BYTES: u32 = CHUNK_BYTES * NARROW_ROW_BYTES;
/// Selects the first byte of each pair, or the second.
const EVEN: u32 = 0x6420;
/// See [`EVEN`].
const ODD: u32 = 0x7531;

/// Runs the transposer, until the producer says that there is no more. Boxes of the cache have `box_rows` tokens.
///
/// # Safety
/// The three warps of the transposer call it, converged.
#[inline(always)]
pub unsafe fn run(shared: u32, box_rows: u32) {
    let place = Place::new(shared);
    let mut ring = Ring::new();
    // SAFETY: the warps are converged, and every wait stands before the use it protects.
    unsafe {
        if special::lane() == 0 {
            memory::store_zero_16(place.zeros);
        }
        warp::sync();
        loop {
            mbarrier::wait(ring.barrier(shared, KEYS_FULL), ring.parity);
            let header = Header::load(ring.header(shared, KEYS_HEADERS));
            mbarrier::wait(ring.barrier(shared, VALUES_EMPTY), ring.parity ^ 1);
            if place.index == 0 {
                header.store(ring.header(shared, VALUES_HEADERS));
            }
            if header.is_end() {
                release_all([ring.barrier(shared, VALUES_FULL)]);
                return;
            }
            let counted = header.hidden()..(header.tokens as u32).min(TILE);
            store_terms(&ring, shared, box_rows, place.index, &counted);
            place.transpose(&ring, shared, &counted);
            fence::proxy_async_shared();
            release_all([ring.barrier(shared, VALUES_FULL), ring.barrier(shared, KEYS_EMPTY)]);
            ring.advance();
        }
    }
}

/// Of the first 64 threads each writes the terms of a token; those of one that does not count are a number's.
#[inline(always)]
unsafe fn store_terms(ring: &Ring, shared: u32, box_rows: u32, token: u32, counted: &Range<u32>) {
    const EXPONENT: u32 = 0xff << 23;
    if token < TILE {
        // SAFETY: inside the scales that have landed, and the terms.
        unsafe {
            let scale = memory::load_u32(landed_scale(ring, shared, box_rows, token)) & EXPONENT;
            let scale = if counted.contains(&token) { f32::from_bits(scale) } else { 1.0 };
            scaled::store_terms(terms(ring, shared), token, scale);
        }
    }
}

/// Address of the terms of the current block.
#[inline(always)]
pub fn terms(ring: &Ring, shared: u32) -> u32 {
    shared + TERMS + ring.index * TERMS_BYTES
}

/// What a thread has to do with every chunk.
struct Place {
    /// Index of the thread in the transposer.
    index: u32,
    /// Address of the warp's zeros.
    zeros: u32,
    /// Offset of the first chunk of the row that it names to `ldmatrix`, from a tile of codes.
    source: u32,
    /// Offset of the row that it names to `stmatrix`, from the columns of a chunk.
    target: u32,
    /// Which bytes of the words that it has are of the column that goes into the first of two matrices, and which into
    /// the second.
    selectors: [u32; 2],
}

impl Place {
    #[inline(always)]
    fn new(shared: u32) -> Self {
        let index = special::thread_index() - TRANSPOSER_WARP * 32;
        let lane = special::lane();
        let (matrix, row) = (lane / 8, lane % 8);
        // Rows of a matrix are columns 0, 2, 4, 6, 9, 11, 13, 15, or the others, for in V these lie in eight different
        // groups of banks.
        let column = 2 * row + ((row / 4) ^ (matrix % 2));
        let [first, second] = if lane < 16 { [EVEN, ODD] } else { [ODD, EVEN] };
        Self {
            index,
            zeros: shared + ZEROS + index / 32 * CHUNK_BYTES,
            source: swizzle::chunk_offset(lane, 0),
            target: swizzle::narrow_chunk_offset(column, matrix / 2),
            selectors: [first, second],
        }
    }

    /// Transposes this warp's share of the ring's current block.
    #[inline(always)]
    unsafe fn transpose(&self, ring: &Ring, shared: u32, counted: &Range<u32>) {
        let (codes, v) = (ring.tile(shared, 0) + self.source, ring.tile(shared, V_TILE));
        let lane = special::lane();
        let counts = [counted.contains(&lane), counted.contains(&(lane + 32))];
        let mut pair = self.index / 32;
        while pair < PAIRS {
            let chunk = 2 * pair;
            let tile = codes + chunk / TILE_CHUNKS * TILE_BYTES;
            // SAFETY: inside the tile and V, 16-byte aligned.
            unsafe {
                seq!(I in 0..2 {
                    let source = tile ^ ((chunk % TILE_CHUNKS + I) * CHUNK_BYTES);
                    let words~I = self.load(source, counts);
                });
                seq!(I in 0..2 {
                    self.store(v + (chunk + I) * CHUNK_COLUMNS_BYTES, words~I);
                });
            }
            pair += TRANSPOSER_WARPS;
        }
    }

    /// A chunk of 64 tokens, eight to a register; zeros of those that do not count.
    #[inline(always)]
    unsafe fn load(&self, source: u32, counts: [bool; 2]) -> [[u32; 4]; 2] {
        let low = if counts[0] { source } else { self.zeros };
        let high = if counts[1] { source + 32 * ROW_BYTES } else { self.zeros };
        // SAFETY: the caller's promise.
        unsafe { [matrix::load_x4_transposed(low), matrix::load_x4_transposed(high)] }
    }

    /// Its 16 columns as rows of V from `columns` on.
    #[inline(always)]
    unsafe fn store(&self, columns: u32, words: [[u32; 4]; 2]) {
        // SAFETY: the caller's promise. 32 tokens are two chunks of a row.
        unsafe {
            let target = columns + self.target;
            matrix::store_x4(target, self.permute(words[0]));
            matrix::store_x4(target ^ (2 * CHUNK_BYTES), self.permute(words[1]));
        }
    }

    /// Words of four tokens of one column, of words of two tokens of two.
    #[inline(always)]
    fn permute(&self, [a, b, c, d]: [u32; 4]) -> [u32; 4] {
        let [first, second] = self.selectors;
        [
            math::permute(a, b, first),
            math::permute(a, b, second),
            math::permute(c, d, first),
            math::permute(c, d, second),
        ]
    }
}
