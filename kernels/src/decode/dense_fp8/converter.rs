//! The converter: follows the producer from load unit to load unit, finds the unit of every piece, and makes f16 tiles.

use core::ops::Range;

use seq_macro::seq;

use super::config::*;
use super::dequantise;
use super::rope;
use super::slabs::{Arrangement, LoadUnit, Slabs};
use super::source;
use super::unit::{self, Unit};
use crate::attention::limits::Limits;
use crate::decode::dense::barriers::{Ring, release};
use crate::decode::dense::config::{LEFT_FULL, LEFT_HEADERS, QK_TILES, RIGHT_FULL};
use crate::decode::header::Header;
use crate::decode::tail;
use crate::ptx::{fence, mbarrier, shared as memory, special, warp};
use crate::tile::element::{Element, F16};

/// Runs the converter, until the producer says that there is no more.
///
/// # Safety
/// The three warps of the converter call it, converged.
#[inline(always)]
pub unsafe fn run<E: Element, L: Limits>(shared: u32) {
    let slabs = Slabs::<TokenByToken>::new();
    let mut ring = Ring::new();
    let mut unit = Unit::new();
    let read = shared + CODES_READ;
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
            slabs.convert::<2>(&load_unit(&ring, shared, 0), unit.inverse(), read);
            hand_over(ring.barrier(shared, LEFT_FULL));
            mbarrier::wait(ring.barrier(shared, RIGHT_LANDED), ring.parity);
            slabs.convert::<2>(&load_unit(&ring, shared, 1), unit.inverse(), read);
            if !slabs.has_most() {
                rope::convert::<E>(tile, unit.inverse());
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

/// 256 codes of a token after each other, and its four scales.
struct TokenByToken;

impl Arrangement for TokenByToken {
    const TOKEN_BYTES: u32 = UNIT_CODES;
    const NEXT_TILE: u32 = GROUP_CODES / 2;
    const SAME_BANKS: bool = true;
    const TOKEN_SCALE_BYTES: u32 = TOKEN_SCALE_BYTES;
    type Factors = u32;

    #[inline(always)]
    unsafe fn factors(scales: u32, inverse: f32) -> u32 {
        // SAFETY: the caller's promise.
        unsafe { two_factors(scales, inverse) }
    }

    #[inline(always)]
    fn factor(factors: u32, tile: u32) -> u32 {
        factor_of_tile(factors, tile)
    }
}

/// By what the codes of two groups are multiplied, whose scales lie at `scales`, in tiles that count in the unit whose inverse
/// is `inverse`: two packed f16.
///
/// # Safety
/// The scales have landed; they are 8-byte aligned.
#[inline(always)]
pub unsafe fn two_factors(scales: u32, inverse: f32) -> u32 {
    // SAFETY: the caller's promise.
    let [first, second] = unsafe { memory::load_f32x2(scales) };
    F16::pack(first * inverse, second * inverse)
}

/// The one for tile `tile`, twice: groups have two tiles.
#[inline(always)]
pub const fn factor_of_tile(factors: u32, tile: u32) -> u32 {
    if tile < 2 { dequantise::low(factors) } else { dequantise::high(factors) }
}

/// Load unit `half` of the ring's current block.
#[inline(always)]
fn load_unit(ring: &Ring, shared: u32, half: u32) -> LoadUnit {
    LoadUnit {
        codes: source::codes(ring, shared, half),
        tiles: source::tiles(ring, shared, half),
        scales: source::scales(ring, shared) + half * (TOKEN_SCALE_BYTES / 2),
        half,
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
