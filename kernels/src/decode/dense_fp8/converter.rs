//! The converter: codes and scales become the 16-bit tiles that the tensor cores multiply, where they lie.
//!
//! A load unit is 64 tokens × 256 codes, 16 KB, in the upper half of the 32 KB that its four tiles take. The codes of
//! the first group, of two tiles, are converted into the lower half, where nothing is. Both groups are in
//! the place of what becomes of the second: each warp keeps its share of the second in registers, converts the first, and
//! goes on to the second when all warps have read all codes.
//!
//! A slab is a group of eight tokens: four threads take a token, each 16 codes of the first tile and 16 of the second, for
//! which they need the token's scale once. Threads of even tokens begin with the first tile and those of odd ones with
//! the second, so that eight next to each other read from all banks, and write to all banks. Three warps share eight slabs; the
//! one that has only two of them makes the rotary tile.

use core::ops::Range;

use seq_macro::seq;

use super::config::*;
use super::dequantise;
use super::rope;
use super::source;
use super::unit::{self, Unit};
use crate::attention::limits::Limits;
use crate::decode::dense::barriers::{Ring, release};
use crate::decode::dense::config::{LEFT_FULL, LEFT_HEADERS, QK_TILES, RIGHT_FULL, TILE};
use crate::decode::header::Header;
use crate::decode::tail;
use crate::ptx::{fence, mbarrier, registers, shared as memory, special, warp};
use crate::tile::element::{Element, F16};
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
/// Codes of one tile, in a group.
const TILE_CODES: u32 = 64;

/// Runs the converter, until the producer says that there is no more.
///
/// # Safety
/// The three warps of the converter call it, converged.
#[inline(always)]
pub unsafe fn run<E: Element, L: Limits>(shared: u32) {
    let converter = Converter::new(shared);
    let mut ring = Ring::new();
    let mut unit = Unit::new();
    // SAFETY: the warps are converged, and every wait stands before the use it protects.
    unsafe {
        loop {
            mbarrier::wait(ring.barrier(shared, LEFT_LANDED), ring.parity);
            let header = Header::load(ring.header(shared, CODE_HEADERS));
            if header.is_end() {
                store_header(header, &ring, shared);
                hand_over(ring.barrier(shared, LEFT_FULL));
                mbarrier::wait(ring.barrier(shared, RIGHT_LANDED), ring.parity);
                hand_over(ring.barrier(shared, RIGHT_FULL));
                return;
            }
            let seen = tail::seen::<L>(&header);
            let mut largest = largest_scale(source::scales(&ring, shared), seen.clone());
            let tile = ring.tile(shared, QK_TILES - 1);
            if !E::IS_BF16 {
                mbarrier::wait(ring.barrier(shared, RIGHT_LANDED), ring.parity);
                largest = largest.max(rope::largest(tile, seen));
            }
            store_header(unit.follow(warp::max(largest), header), &ring, shared);
            converter.convert(&ring, 0, unit.inverse());
            hand_over(ring.barrier(shared, LEFT_FULL));
            mbarrier::wait(ring.barrier(shared, RIGHT_LANDED), ring.parity);
            converter.convert(&ring, 1, unit.inverse());
            if !converter.has_most {
                rope::convert::<E>(tile, unit.inverse(), [0, 1]);
            }
            hand_over(ring.barrier(shared, RIGHT_FULL));
            ring.advance();
            if header.is_last() {
                unit = Unit::new();
            }
        }
    }
}

/// Writes the header of the left tiles.
///
/// # Safety
/// The three warps of the converter call it; the header of the codes has landed.
#[inline(always)]
pub unsafe fn store_header(header: Header, ring: &Ring, shared: u32) {
    if special::thread_index() == CONVERTER_WARP * 32 {
        // SAFETY: the left warpgroup has read the one before, for its tiles were free.
        unsafe { header.store(ring.header(shared, LEFT_HEADERS)) };
    }
}

/// Tells the multiplying warpgroups that this warp's share of a load unit is there.
///
/// # Safety
/// All lanes of the warp call it, converged; `barrier` counts an arrival of each warp of the converter.
#[inline(always)]
pub unsafe fn hand_over(barrier: u32) {
    fence::proxy_async_shared();
    // SAFETY: the barrier counts one arrival of each warp.
    unsafe { release(barrier) };
}

/// Where a thread's share lies.
struct Converter {
    shared: u32,
    /// Token of the first slab.
    token: u32,
    /// Offset of the codes that it begins with, from those of the group.
    source: u32,
    /// Offset of what becomes of them, from the tiles of the group.
    target: u32,
    /// Whether the warp has as many slabs as any.
    has_most: bool,
}

impl Converter {
    #[inline(always)]
    fn new(shared: u32) -> Self {
        let warp = special::warp() - CONVERTER_WARP;
        let token = warp * SLAB + special::lane() / TOKEN_THREADS;
        let (tile, chunk) = (token % 2, special::lane() % TOKEN_THREADS);
        Self {
            shared,
            token,
            source: token * UNIT_CODES + tile * TILE_CODES + chunk * CHUNK_BYTES,
            target: tile * TILE_BYTES + swizzle::chunk_offset(token, 2 * chunk),
            has_most: warp < FULL_WARPS,
        }
    }

    /// Converts load unit `half` of the ring's current block; `inverse` is that of the unit in which tiles count.
    ///
    /// # Safety
    /// All threads of the converter call it, converged, for one half after the other; the codes and the scales have landed.
    #[inline(always)]
    unsafe fn convert(&self, ring: &Ring, half: u32, inverse: f32) {
        // Hidden from the compiler, or it would keep all addresses in registers from block to block.
        let token = registers::opaque(self.token);
        let codes = source::codes(ring, self.shared, half) + registers::opaque(self.source);
        let tile = source::tiles(ring, self.shared, half) + registers::opaque(self.target);
        let scales = source::scales(ring, self.shared)
            + token * TOKEN_SCALE_BYTES
            + half * (TOKEN_SCALE_BYTES / 2);
        let codes = [codes, codes ^ TILE_CODES];
        let other = (tile + TILE_BYTES).wrapping_sub(token % 2 * (2 * TILE_BYTES));
        let tiles = [Place::new(tile), Place::new(other)];
        let mut second = [[[0; 4]; 2]; SLABS];
        let mut factors = [0; SLABS];
        // SAFETY: the caller's promise. Nothing is in the tiles of the first group; those of the second hold codes that all
        // warps have read by the barrier.
        unsafe {
            seq!(I in 0..3 {
                if I < 2 || self.has_most {
                    factors[I] = load_factors(scales + I * STRIDE * TOKEN_SCALE_BYTES, inverse);
                    second[I] = codes.map(|codes| load::<I>(codes + GROUP_CODES));
                }
            });
            // The codes of a slab are on their way while those before are converted.
            let [mut a, mut b] = codes.map(|codes| load::<0>(codes));
            seq!(I in 0..2 {
                tiles[0].store::<I>(0, a, dequantise::low(factors[I]));
                if I == 0 || self.has_most {
                    a = load::<{ I + 1 }>(codes[0]);
                }
                tiles[1].store::<I>(0, b, dequantise::low(factors[I]));
                if I == 0 || self.has_most {
                    b = load::<{ I + 1 }>(codes[1]);
                }
            });
            warp::sync();
            let read = self.shared + CODES_READ;
            release(read);
            if self.has_most {
                tiles[0].store::<2>(0, a, dequantise::low(factors[2]));
                tiles[1].store::<2>(0, b, dequantise::low(factors[2]));
            }
            // Two load units a block: its parity is that of the half.
            mbarrier::wait(read, half);
            seq!(I in 0..3 {
                if I < 2 || self.has_most {
                    let [a, b] = second[I];
                    tiles[0].store::<I>(2 * TILE_BYTES, a, dequantise::high(factors[I]));
                    tiles[1].store::<I>(2 * TILE_BYTES, b, dequantise::high(factors[I]));
                }
            });
        }
    }
}

/// 16 codes of this thread's token of slab `I`; `first` is the address of those of its token of the first slab.
#[inline(always)]
unsafe fn load<const I: u32>(first: u32) -> [u32; 4] {
    // SAFETY: codes of the load unit, 16-byte aligned.
    unsafe { memory::load_u32x4(first + I * STRIDE * UNIT_CODES) }
}

/// What the codes of a token's two groups are multiplied by, whose scales lie at `scales`: two packed f16.
#[inline(always)]
unsafe fn load_factors(scales: u32, inverse: f32) -> u32 {
    // SAFETY: scales of a token, 8-byte aligned.
    let [first, second] = unsafe { memory::load_f32x2(scales) };
    F16::pack(first * inverse, second * inverse)
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

/// The size of the largest scale, of those that this lane looks at, of the tokens in the rows `seen`; those of the block lie
/// from `scales` on.
#[inline(always)]
unsafe fn largest_scale(scales: u32, seen: Range<u32>) -> u32 {
    let mut largest = 0;
    seq!(I in 0..2 {
        let token = special::lane() + 32 * I;
        // SAFETY: scales of the block, 16-byte aligned.
        let [a, b, c, d] = unsafe { memory::load_u32x4(scales + token * TOKEN_SCALE_BYTES) }.map(unit::size);
        if seen.contains(&token) {
            largest = largest.max(a.max(b)).max(c.max(d));
        }
    });
    largest
}
