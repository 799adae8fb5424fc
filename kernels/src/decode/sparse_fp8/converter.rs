//! The converter: codes and scales become the f16 tiles that the tensor cores multiply, where they lie.
//!
//! A load unit is 64 tokens of codes for three or four tiles, tile by tile, in the upper half of the room that the tiles
//! take. The codes of all but the last two tiles are converted into the lower half, where nothing is. Those of the last two
//! are in the place of their own results: all threads read them before any writes.
//!
//! Pieces of 16 codes are numbered as they lie; each becomes two chunks of f16. Eight threads next to each other
//! take the pieces of two tokens: so they read from all banks, and write to all banks. 96 threads are 24 tokens further in
//! every round, for which the swizzle is the same, and tile follows upon tile.

use seq_macro::seq;

use super::config::*;
use super::place;
use super::scale;
use crate::decode::dense::barriers::Ring;
use crate::decode::dense::config::{LEFT_FULL, LEFT_TILES, RIGHT_FULL, TILE};
use crate::decode::dense_fp8::unit::Unit;
use crate::decode::dense_fp8::{dequantise, hand_over, rope, store_header};
use crate::decode::header::Header;
use crate::ptx::{barrier, mbarrier, registers, shared as memory, special, warp};
use crate::tile::element::{Element, F16};
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
    let mut unit = Unit::new();
    // SAFETY: the warps are converged, and every wait stands before the use it protects.
    unsafe {
        loop {
            mbarrier::wait(ring.barrier(shared, LEFT_LANDED), ring.parity);
            let header = Header::load(ring.header(shared, CODE_HEADERS));
            if header.is_end() {
                store_header(header, &ring, shared);
                // The other header came with this one.
                hand_over(ring.barrier(shared, LEFT_FULL));
                hand_over(ring.barrier(shared, RIGHT_FULL));
                return;
            }
            let mut largest = scale::largest::<F>(place::scales(&ring, shared));
            let tile = ring.tile(shared, F::TILES - 1);
            if F::ROPE_IS_V {
                mbarrier::wait(ring.barrier(shared, RIGHT_LANDED), ring.parity);
                largest = largest.max(rope::largest(tile, 0..TILE));
            }
            store_header(unit.follow(warp::max(largest), header), &ring, shared);
            thread.convert_left::<F>(&ring, unit.inverse(), shared);
            hand_over(ring.barrier(shared, LEFT_FULL));
            mbarrier::wait(ring.barrier(shared, RIGHT_LANDED), ring.parity);
            thread.convert_right::<F>(&ring, unit.inverse(), shared);
            thread.convert_rope::<E, F>(tile, unit.inverse());
            hand_over(ring.barrier(shared, RIGHT_FULL));
            ring.advance();
            if header.is_last() {
                unit = Unit::new();
            }
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

    /// Converts the left load unit of the ring's current block; `inverse` is that of the unit in which tiles count.
    ///
    /// # Safety
    /// All threads of the converter call it, converged; codes and scales have landed.
    #[inline(always)]
    unsafe fn convert_left<F: Codes>(&self, ring: &Ring, inverse: f32, shared: u32) {
        let codes = place::codes(ring, shared, 0, LEFT_TILES);
        let (tiles, scales) = (place::tiles(ring, shared, 0), place::scales(ring, shared));
        // SAFETY: the caller's promise.
        unsafe { self.convert::<F, 2, 0>(tiles, codes, scales, inverse) };
    }

    /// Converts the right load unit of the ring's current block.
    ///
    /// # Safety
    /// As for the left one.
    #[inline(always)]
    unsafe fn convert_right<F: Codes>(&self, ring: &Ring, inverse: f32, shared: u32) {
        let codes = place::codes(ring, shared, 1, F::RIGHT_CODE_TILES);
        let (tiles, scales) = (place::tiles(ring, shared, 1), place::scales(ring, shared));
        // SAFETY: the caller's promise.
        unsafe {
            if F::RIGHT_CODE_TILES == LEFT_TILES {
                self.convert::<F, 2, LEFT_TILES>(tiles, codes, scales, inverse);
            } else {
                self.convert::<F, 1, LEFT_TILES>(tiles, codes, scales, inverse);
            }
        }
    }

    /// Converts the rope tile: the warps do that share the pieces of the last round.
    #[inline(always)]
    unsafe fn convert_rope<E: Element, F: Codes>(&self, tile: u32, inverse: f32) {
        let Some(index) = self.warp.checked_sub(last_warps(2)) else { return };
        let share = [index, CONVERTER_WARPS - last_warps(2)];
        // SAFETY: the caller's promise.
        unsafe {
            if F::ROPE_IS_V {
                rope::convert::<F16>(tile, inverse, share);
            } else {
                rope::convert::<E>(tile, inverse, share);
            }
        }
    }

    /// Converts `codes` into `BEFORE` tiles and two more; the first of all is the token's tile `FIRST`.
    #[inline(always)]
    unsafe fn convert<F: Codes, const BEFORE: u32, const FIRST: u32>(
        &self,
        tiles: u32,
        codes: u32,
        scales: u32,
        inverse: f32,
    ) {
        let last = BEFORE * TILE_BYTES;
        // SAFETY: the caller's promise. Nothing is in the place of the first tiles; the others hold codes that all threads
        // have read by the barrier.
        unsafe {
            let pieces = self.load::<BEFORE>(codes);
            self.store::<F, BEFORE>(tiles, &pieces, scales, FIRST, inverse);
            let pieces = self.load::<2>(codes + BEFORE * TILE_CODE_BYTES);
            barrier::sync::<CONVERTER_GROUP, CONVERTER>();
            self.store::<F, 2>(tiles + last, &pieces, scales, FIRST + BEFORE, inverse);
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
    unsafe fn store<F: Codes, const TILES: u32>(
        &self,
        tiles: u32,
        pieces: &Pieces,
        scales: u32,
        first: u32,
        inverse: f32,
    ) {
        // SAFETY: rounds that the thread takes part in.
        unsafe {
            seq!(I in 0..5 {
                if I < rounds(TILES) {
                    self.store_round::<F>(tiles, I, pieces[I], scales, first, inverse);
                }
            });
            if self.warp < last_warps(TILES) {
                let last = rounds(TILES);
                self.store_round::<F>(tiles, last, pieces[last as usize], scales, first, inverse);
            }
        }
    }

    #[inline(always)]
    unsafe fn store_round<F: Codes>(
        &self,
        tiles: u32,
        round: u32,
        codes: [u32; 4],
        scales: u32,
        first: u32,
        inverse: f32,
    ) {
        // Hidden from the compiler, which would keep where the scales of all rounds are.
        let row = registers::opaque(self.token) + round * ROUND;
        let target = tiles + self.target + round * ROUND * swizzle::ROW_BYTES;
        // SAFETY: inside the tiles, 16-byte aligned. An odd chunk has its place beside the even one before it.
        unsafe {
            let factor = scale::load::<F>(scales, row % TILE, first + row / TILE) * inverse;
            let [low, high] = dequantise::elements(codes, F16::pack(factor, factor));
            memory::store_u32x4(target, low);
            memory::store_u32x4(target ^ CHUNK_BYTES, high);
        }
    }
}
