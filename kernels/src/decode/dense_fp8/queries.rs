//! Queries become f16, where they lie.
//!
//! The latent tiles of K are f16, and the tensor cores multiply no bf16 by them. Each row of Q is multiplied by a power of
//! two that brings the largest of its 512 latent elements close to the largest f16, 8 bits of fraction into 11: exact, but
//! for elements below 2^−29 of the largest, which lose bits. The rotary tile stays bf16 and is multiplied by the same power of two. Its
//! inverse goes into the scale of the row's scores.

use seq_macro::seq;

use crate::attention::rows;
use crate::decode::dense::config::{D_LATENT, LEFT_GROUP, Q, TILE, WARPGROUP};
use crate::ptx::{barrier, fence, math, shared as memory, special, warp};
use crate::tile::element::{Bf16, Element};
use crate::tile::swizzle::{self, ROW_CHUNKS, TILE_BYTES};

/// Tiles that are V, too; a rotary one may follow.
const V_TILES: u32 = D_LATENT / TILE;
/// Rows that a warpgroup converts together: eight threads take a row, each the same chunk of all its tiles.
const ROWS: u32 = WARPGROUP / ROW_CHUNKS;
/// The exponent field of an element that stays as it is: of those with it the largest are 2^14 to 2^15.
const LARGEST: u32 = 127 + 14;
/// How far the exponent of a rotary element may be above that of the largest latent one: 2^40 at most, so that f32 holds
/// its products with all rope parts that a [`unit`](super::unit) leaves finite.
const ROPE_ABOVE: u32 = 40 - 14;
/// The smallest exponent field whose distance to [`LARGEST`] is that of a power of two and its inverse.
const LEAST: u32 = LARGEST - 126;

/// Converts the `count` rows of Q that exist, of `D_QK` dimensions; by what scores of this thread's two rows are to be multiplied.
///
/// # Safety
/// The left warpgroup calls it, converged; Q has landed, and nobody else looks at it.
#[inline(always)]
pub unsafe fn convert<const D_QK: u32, const Q_UNITS: u32>(count: u32, shared: u32) -> [f32; 2] {
    let thread = special::thread_index();
    let mut first = 0;
    // SAFETY: rows below 64. What the multiplies read through the async proxy is fenced by its writers before all meet.
    unsafe {
        while first < TILE {
            let row = first + thread / ROW_CHUNKS;
            let unit = if first < count { convert_row::<D_QK>(row, shared) } else { 1.0 };
            if thread.is_multiple_of(ROW_CHUNKS) {
                memory::store_f32(shared + Q_UNITS + 4 * row, unit);
            }
            first += ROWS;
        }
        fence::proxy_async_shared();
        barrier::sync::<LEFT_GROUP, WARPGROUP>();
        rows::fragment_rows().map(|row| memory::load_f32(shared + Q_UNITS + 4 * row))
    }
}

/// Converts this thread's chunks of row `row`; by what scores of the row are to be multiplied.
#[inline(always)]
unsafe fn convert_row<const D_QK: u32>(row: u32, shared: u32) -> f32 {
    let chunk = special::thread_index() % ROW_CHUNKS;
    let first = shared + Q + swizzle::chunk_offset(row, chunk);
    let rotary = first + V_TILES * TILE_BYTES;
    let mut chunks = [[0; 4]; V_TILES as usize];
    let mut rotary_chunk = [0; 4];
    // SAFETY: chunks of the row.
    unsafe {
        seq!(I in 0..8 {
            chunks[I] = memory::load_u32x4(first + I * TILE_BYTES);
        });
        if D_QK > D_LATENT {
            rotary_chunk = memory::load_u32x4(rotary);
        }
    }
    let mut largest = exponent(rotary_chunk).saturating_sub(ROPE_ABOVE).max(LEAST);
    seq!(I in 0..8 {
        largest = largest.max(exponent(chunks[I]));
    });
    let largest = of_row(largest);
    // The exponent field of the power of two that the row is multiplied by, as two bf16.
    let factor = (LARGEST + 127 - largest) * 0x0080_0080;
    // SAFETY: as above; no other thread has them.
    unsafe {
        seq!(I in 0..8 {
            let scaled = chunks[I].map(|pair| math::multiply_bf16x2(pair, factor));
            memory::store_u32x4(first + I * TILE_BYTES, scaled.map(to_f16));
        });
        if D_QK > D_LATENT {
            let scaled = rotary_chunk.map(|pair| math::multiply_bf16x2(pair, factor));
            memory::store_u32x4(rotary, scaled);
        }
    }
    f32::from_bits((127 + largest - LARGEST) << 23)
}

/// The largest exponent field of eight bf16.
#[inline(always)]
fn exponent(chunk: [u32; 4]) -> u32 {
    // Without their signs, and what is below an element only tells equal ones apart.
    let [a, b, c, d] = chunk.map(|pair| (pair << 1).max(pair << 17));
    a.max(b).max(c.max(d)) >> 24
}

/// The largest number of the eight threads of a row.
#[inline(always)]
fn of_row(number: u32) -> u32 {
    let exchange = |number: u32, other: f32| number.max(other.to_bits());
    let pair = exchange(number, warp::butterfly::<1>(f32::from_bits(number)));
    let quad = exchange(pair, warp::butterfly::<2>(f32::from_bits(pair)));
    exchange(quad, warp::butterfly::<4>(f32::from_bits(quad)))
}

/// Two packed bf16 as f16.
#[inline(always)]
fn to_f16(pair: u32) -> u32 {
    let [low, high] = Bf16::unpack(pair);
    math::pack_f16(low, high)
}
