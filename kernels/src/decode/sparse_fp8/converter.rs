//! The converter: codes and scales become the 16-bit tiles that the tensor cores multiply, where they lie.
//!
//! A load unit is 64 tokens of codes for three or four tiles, tile by tile, in the upper half of the room that the tiles
//! take. The codes of all but the last two tiles are converted into the lower half, where nothing is. Those of the last two
//! are in the place of their own results: all threads read them before any writes.
//!
//! Pieces of 16 codes are numbered as they lie; each becomes two chunks of 16-bit elements. Eight threads next to each other
//! take the pieces of two tokens: so they read from all banks, and write to all banks. 96 threads are 24 tokens further in
//! every round, for which the swizzle is the same, and tile follows upon tile.

use seq_macro::seq;

use super::config::*;
use super::dequantise::dequantise;
use super::place;
use super::scale;
use crate::decode::dense::barriers::Ring;
use crate::decode::dense::config::{LEFT_FULL, LEFT_HEADERS, LEFT_TILES, RIGHT_FULL, TILE};
use crate::decode::dense_fp8::hand_over;
use crate::decode::header::Header;
use crate::ptx::{barrier, mbarrier, registers, shared as memory, special};
use crate::tile::element::Element;
use crate::tile::swizzle::{self, CHUNK_BYTES, TILE_BYTES};

/// Tokens from one round to the next.
const ROUND: u32 = CONVERTER / ROW_PIECES;
/// Most rounds of two tiles that all threads take part in; in one more, some do.
const ROUNDS: usize = 5;
const _: () = assert!(ROUND.is_multiple_of(8) && rounds(2) == ROUNDS as u32);

/// Rounds of `tiles` tiles that all threads take part in.
const fn rounds(tiles: u32) -> u32 {
    tiles * TILE / ROUND
}

/// Warps that take part in the round after these.
const fn last_warps(tiles: u32) -> u32 {
    tiles * TILE % ROUND * ROW_PIECES / 32
}

/// A thread's codes of two tiles, four to a word, for each round.
type Pieces = [[u32; 4]; ROUNDS + 1];

/// Runs the converter, until the producer says that there is no more.
///
/// # Safety
/// The three warps of the converter call it, converged.
#[inline(always)]
pub unsafe fn run<E: Element, F: Codes>(shared: u32) {
    let thread = Thread::new();
    let mut ring = Ring::new();
    // SAFETY: the warps are converged, and every wait stands before the use it protects.
    unsafe {
        loop {
            mbarrier::wait(ring.barrier(shared, LEFT_LANDED), ring.parity);
            if Header::load(ring.header(shared, LEFT_HEADERS)).is_end() {
                // Both headers came with the left load unit.
                hand_over(ring.barrier(shared, LEFT_FULL));
                hand_over(ring.barrier(shared, RIGHT_FULL));
                return;
            }
            thread.convert_left::<E, F>(&ring, shared);
            hand_over(ring.barrier(shared, LEFT_FULL));
            mbarrier::wait(ring.barrier(shared, RIGHT_LANDED), ring.parity);
            thread.convert_right::<E, F>(&ring, shared);
            hand_over(ring.barrier(shared, RIGHT_FULL));
            ring.advance();
        }
    }
}

/// A thread's share of the first round.
struct Thread {
    token: u32,
    /// Offset of its codes.
    source: u32,
    /// Offset of what becomes of them.
    target: u32,
    /// Its warp, of those of the converter.
    warp: u32,
}

impl Thread {
    #[inline(always)]
    fn new() -> Self {
        let thread = special::thread_index() - CONVERTER_WARP * 32;
        let (token, piece) = (thread / ROW_PIECES, thread % ROW_PIECES);
        Self {
            token,
            source: thread * CHUNK_BYTES,
            target: swizzle::chunk_offset(token, 2 * piece),
            warp: special::warp() - CONVERTER_WARP,
        }
    }

    /// Converts the left load unit of the ring's current block.
    ///
    /// # Safety
    /// All threads of the converter call it, converged; codes and scales have landed.
    #[inline(always)]
    unsafe fn convert_left<E: Element, F: Codes>(&self, ring: &Ring, shared: u32) {
        let codes = place::codes(ring, shared, 0, LEFT_TILES);
        // SAFETY: the caller's promise.
        unsafe { self.convert::<E, F, 2, 0>(place::tiles(ring, shared, 0), codes, ring, shared) };
    }

    /// Converts the right load unit of the ring's current block.
    ///
    /// # Safety
    /// As for the left one.
    #[inline(always)]
    unsafe fn convert_right<E: Element, F: Codes>(&self, ring: &Ring, shared: u32) {
        let codes = place::codes(ring, shared, 1, F::RIGHT_CODE_TILES);
        let tiles = place::tiles(ring, shared, 1);
        // SAFETY: the caller's promise.
        unsafe {
            if F::RIGHT_CODE_TILES == LEFT_TILES {
                self.convert::<E, F, 2, LEFT_TILES>(tiles, codes, ring, shared);
            } else {
                self.convert::<E, F, 1, LEFT_TILES>(tiles, codes, ring, shared);
            }
        }
    }

    /// Converts `codes` into `BEFORE` tiles and two more; the first of all is the token's tile `FIRST`.
    #[inline(always)]
    unsafe fn convert<E: Element, F: Codes, const BEFORE: u32, const FIRST: u32>(
        &self,
        tiles: u32,
        codes: u32,
        ring: &Ring,
        shared: u32,
    ) {
        let scales = place::scales(ring, shared);
        let last = BEFORE * TILE_BYTES;
        // SAFETY: the caller's promise. Nothing is in the place of the first tiles; the others hold codes that all threads
        // have read by the barrier.
        unsafe {
            let pieces = self.load::<BEFORE>(codes);
            self.store::<E, F, BEFORE>(tiles, &pieces, scales, FIRST);
            let pieces = self.load::<2>(codes + BEFORE * TILE_CODE_BYTES);
            barrier::sync::<CONVERTER_GROUP, CONVERTER>();
            self.store::<E, F, 2>(tiles + last, &pieces, scales, FIRST + BEFORE);
        }
    }

    /// The thread's codes of `TILES` tiles, which begin at `codes`.
    #[inline(always)]
    unsafe fn load<const TILES: u32>(&self, codes: u32) -> Pieces {
        let first = codes + self.source;
        let mut pieces = [[0; 4]; ROUNDS + 1];
        // SAFETY: inside the unit, 16-byte aligned.
        unsafe {
            seq!(I in 0..5 {
                if I < rounds(TILES) {
                    pieces[I] = memory::load_u32x4(first + I * CONVERTER * CHUNK_BYTES);
                }
            });
            if self.warp < last_warps(TILES) {
                let last = first + rounds(TILES) * CONVERTER * CHUNK_BYTES;
                pieces[rounds(TILES) as usize] = memory::load_u32x4(last);
            }
        }
        pieces
    }

    /// Stores what becomes of them, in `TILES` tiles from `tiles` on, of which the first is the token's tile `first`.
    #[inline(always)]
    unsafe fn store<E: Element, F: Codes, const TILES: u32>(
        &self,
        tiles: u32,
        pieces: &Pieces,
        scales: u32,
        first: u32,
    ) {
        // SAFETY: rounds that the thread takes part in.
        unsafe {
            seq!(I in 0..5 {
                if I < rounds(TILES) {
                    self.store_round::<E, F>(tiles, I, pieces[I], scales, first);
                }
            });
            if self.warp < last_warps(TILES) {
                let last = rounds(TILES);
                self.store_round::<E, F>(tiles, last, pieces[last as usize], scales, first);
            }
        }
    }

    #[inline(always)]
    unsafe fn store_round<E: Element, F: Codes>(
        &self,
        tiles: u32,
        round: u32,
        codes: [u32; 4],
        scales: u32,
        first: u32,
    ) {
        // Hidden from the compiler, which would keep where the scales of all rounds are.
        let row = registers::opaque(self.token) + round * ROUND;
        let target = tiles + self.target + round * ROUND * swizzle::ROW_BYTES;
        // SAFETY: inside the tiles, 16-byte aligned. An odd chunk has its place beside the even one before it.
        unsafe {
            let scale = scale::load::<F>(scales, row % TILE, first + row / TILE);
            let [low, high] = dequantise::<E>(codes, scale);
            memory::store_u32x4(target, low);
            memory::store_u32x4(target ^ CHUNK_BYTES, high);
        }
    }
}
