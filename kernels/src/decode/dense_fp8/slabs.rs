//! Codes of a load unit become the f16 tiles that the tensor cores multiply, where they lie.
//!
//! The codes are in the upper half of the room that their tiles take. Those of the first group, of one or two tiles, are
//! converted into the lower half, where nothing is. All codes are in the place of what becomes of the second group, of two
//! tiles: each warp keeps its share of the second in registers, converts the first, and goes on to the second when all warps
//! have read all codes.
//!
//! A slab is a group of eight tokens: four threads take a token, each 16 codes of the first tile of a group and 16 of the
//! second. Eight threads next to each other have two tokens, and read from all banks, and write to all banks. Three warps
//! share eight slabs; one has only two of them.

use core::marker::PhantomData;

use seq_macro::seq;

use super::config::*;
use super::dequantise;
use crate::decode::dense::barriers::release;
use crate::decode::dense::config::TILE;
use crate::ptx::{mbarrier, registers, shared as memory, special};
use crate::tile::swizzle::{self, CHUNK_BYTES, ROW_BYTES, TILE_BYTES};

/// Threads for a token of a slab.
const TOKEN_THREADS: u32 = 4;
/// Tokens of a slab; the swizzle of all slabs is the same.
const SLAB: u32 = 32 / TOKEN_THREADS;
/// Tokens from a slab of a warp to its next.
const STRIDE: u32 = CONVERTER_WARPS * SLAB;
/// Slabs of the warps that have most.
const SLABS: usize = TILE.div_ceil(STRIDE) as usize;
/// The warps that have as many.
const FULL_WARPS: u32 = TILE / SLAB % CONVERTER_WARPS;
const _: () = assert!(SLABS == 3 && FULL_WARPS == 2 && SLAB.is_multiple_of(8));

/// How codes and scales of a load unit lie in shared memory.
pub trait Arrangement {
    /// Bytes from the codes of a token in a tile to those of the next token.
    const TOKEN_BYTES: u32;
    /// Bytes from the codes of a tile to those of the next, of the same token.
    const NEXT_TILE: u32;
    /// Whether the codes of all tokens begin in the same bank: threads of odd tokens then begin with the second tile.
    const SAME_BANKS: bool;
    /// Bytes from the scales of a token to those of the next.
    const TOKEN_SCALE_BYTES: u32;
    /// What the codes of a token are multiplied by, two packed f16 a word.
    type Factors: Copy + Default;

    /// Those of the token whose scales of the load unit lie at `scales`, for tiles that count in the unit whose inverse is
    /// `inverse`.
    ///
    /// # Safety
    /// The scales have landed.
    unsafe fn factors(scales: u32, inverse: f32) -> Self::Factors;

    /// The factor for tile `tile` of the unit, twice. Of a unit of three tiles the first is tile 0.
    fn factor(factors: Self::Factors, tile: u32) -> u32;
}

/// A thread's share of the slabs.
pub struct Slabs<A> {
    /// Token of the first slab.
    token: u32,
    /// Offset of the codes that it begins with, from those of the group.
    source: u32,
    /// Offset of what becomes of them, from the tiles of the group.
    target: u32,
    /// Whether the warp has as many slabs as any.
    has_most: bool,
    arrangement: PhantomData<A>,
}

/// Where a load unit is.
pub struct LoadUnit {
    /// Address of its codes.
    pub codes: u32,
    /// Address of what becomes of them.
    pub tiles: u32,
    /// Address of the first token's scales of its tiles.
    pub scales: u32,
    /// Whether it is the left one, 0, or the right one, 1.
    pub half: u32,
}

impl<A: Arrangement> Slabs<A> {
    /// Those of this thread of the converter.
    #[inline(always)]
    pub fn new() -> Self {
        let warp = special::warp() - CONVERTER_WARP;
        let token = warp * SLAB + special::lane() / TOKEN_THREADS;
        let chunk = special::lane() % TOKEN_THREADS;
        let tile = if A::SAME_BANKS { token % 2 } else { 0 };
        Self {
            token,
            source: token * A::TOKEN_BYTES + tile * A::NEXT_TILE + chunk * CHUNK_BYTES,
            target: tile * TILE_BYTES + swizzle::chunk_offset(token, 2 * chunk),
            has_most: warp < FULL_WARPS,
            arrangement: PhantomData,
        }
    }

    /// Whether this warp has as many slabs as any.
    #[inline(always)]
    pub fn has_most(&self) -> bool {
        self.has_most
    }

    /// Converts a load unit whose first group has `FIRST` tiles; `inverse` is that of the unit in which tiles count, and
    /// `read` the barrier on which warps say that they have read.
    ///
    /// # Safety
    /// All threads of the converter call it, converged, for one half after the other; the codes and the scales have landed.
    #[inline(always)]
    pub unsafe fn convert<const FIRST: u32>(&self, unit: &LoadUnit, inverse: f32, read: u32) {
        // Hidden from the compiler, or it would keep all addresses in registers from block to block.
        let token = registers::opaque(self.token);
        let scales = unit.scales + token * A::TOKEN_SCALE_BYTES;
        let codes = self.codes(unit.codes);
        let tiles = self.tiles(unit.tiles, token);
        let mut second = [[[0; 4]; 2]; SLABS];
        let mut factors = [A::Factors::default(); SLABS];
        // SAFETY: the caller's promise. Nothing is in the tiles of the first group; those of the second hold codes that all
        // warps have read by the barrier.
        unsafe {
            seq!(I in 0..3 {
                if I < 2 || self.has_most {
                    factors[I] = A::factors(scales + I * STRIDE * A::TOKEN_SCALE_BYTES, inverse);
                    second[I] = codes.map(|codes| load::<A, I>(codes + FIRST * A::NEXT_TILE));
                }
            });
            // The codes of a slab are on their way while those before are converted.
            let mut first = [[0; 4]; 2];
            seq!(T in 0..2 { if T < FIRST { first[T] = load::<A, 0>(codes[T]); } });
            seq!(I in 0..2 {
                seq!(T in 0..2 {
                    if T < FIRST {
                        tiles[T].store::<I>(0, first[T], A::factor(factors[I], T));
                        if I == 0 || self.has_most {
                            first[T] = load::<A, { I + 1 }>(codes[T]);
                        }
                    }
                });
            });
            release(read);
            if self.has_most {
                seq!(T in 0..2 {
                    if T < FIRST {
                        tiles[T].store::<2>(0, first[T], A::factor(factors[2], T));
                    }
                });
            }
            // Two load units a block: its parity is that of the half.
            mbarrier::wait(read, unit.half);
            seq!(I in 0..3 {
                if I < 2 || self.has_most {
                    seq!(T in 0..2 {
                        let factor = A::factor(factors[I], FIRST + T);
                        tiles[T].store::<I>(FIRST * TILE_BYTES, second[I][T], factor);
                    });
                }
            });
        }
    }

    /// Addresses of the thread's codes of the two tiles of the first group, that it begins with first.
    #[inline(always)]
    fn codes(&self, codes: u32) -> [u32; 2] {
        let codes = codes + registers::opaque(self.source);
        [codes, if A::SAME_BANKS { codes ^ A::NEXT_TILE } else { codes + A::NEXT_TILE }]
    }

    /// Where what becomes of them goes.
    #[inline(always)]
    fn tiles(&self, tiles: u32, token: u32) -> [Place; 2] {
        let tile = tiles + registers::opaque(self.target);
        let back = if A::SAME_BANKS { token % 2 * (2 * TILE_BYTES) } else { 0 };
        [Place::new(tile), Place::new((tile + TILE_BYTES).wrapping_sub(back))]
    }
}

/// 16 codes of this thread's token of slab `I`; `first` is the address of those of its token of the first slab.
#[inline(always)]
unsafe fn load<A: Arrangement, const I: u32>(first: u32) -> [u32; 4] {
    // SAFETY: codes of the load unit, 16-byte aligned.
    unsafe { memory::load_u32x4(first + I * STRIDE * A::TOKEN_BYTES) }
}

/// Where 16 codes of the first slab go: two chunks of a row of a tile.
struct Place([u32; 2]);

impl Place {
    /// From the address of the first of them, an even chunk: the odd one behind it has its place beside it.
    #[inline(always)]
    fn new(first: u32) -> Self {
        Self([first, first ^ CHUNK_BYTES])
    }

    /// Stores what `codes`, of slab `I`, become, `offset` bytes further.
    #[inline(always)]
    unsafe fn store<const I: u32>(&self, offset: u32, codes: [u32; 4], factor: u32) {
        let offset = offset + I * STRIDE * ROW_BYTES;
        let [low, high] = dequantise::elements(codes, factor);
        // SAFETY: inside the tile, 16-byte aligned.
        unsafe {
            memory::store_u32x4(self.0[0] + offset, low);
            memory::store_u32x4(self.0[1] + offset, high);
        }
    }
}
