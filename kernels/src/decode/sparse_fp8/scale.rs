//! Scales of a block in shared memory.

use core::marker::PhantomData;

use seq_macro::seq;

use super::config::*;
use crate::cache::fp8::ScaleType;
use crate::decode::dense_fp8::slabs::Arrangement;
use crate::decode::dense_fp8::{factor_of_tile, two_factors, unit};
use crate::ptx::{shared, special};
use crate::tile::element::Element;
use crate::tile::element::F16;

/// The codes of a tile of all tokens after each other, tile after tile, and the scales of a token after each other: half of
/// them are those of a load unit.
pub struct TileByTile<F>(PhantomData<F>);

impl<F: Codes> Arrangement for TileByTile<F> {
    const TOKEN_BYTES: u32 = TILE_CODES;
    const NEXT_TILE: u32 = TILE_CODE_BYTES;
    const SAME_BANKS: bool = false;
    const TOKEN_SCALE_BYTES: u32 = F::TOKEN_SCALE_BYTES;
    /// Of tiles 0 and 1, and 2 and 3, or all in the first.
    type Factors = [u32; 2];

    #[inline(always)]
    unsafe fn factors(scales: u32, inverse: f32) -> [u32; 2] {
        // SAFETY: the caller's promise; scales of a load unit are aligned as they are long.
        unsafe {
            match F::LAYOUT.scale {
                ScaleType::F32 => [two_factors(scales, inverse), 0],
                ScaleType::Ue8m0 => {
                    let word = shared::load_u32(scales);
                    let power = |tile| power_of_two(word, tile) * inverse;
                    [F16::pack(power(0), power(1)), F16::pack(power(2), power(3))]
                }
            }
        }
    }

    #[inline(always)]
    fn factor(factors: [u32; 2], tile: u32) -> u32 {
        match F::LAYOUT.scale {
            ScaleType::F32 => factor_of_tile(factors[0], tile),
            ScaleType::Ue8m0 => factor_of_tile(factors[tile as usize / 2], tile % 2 * 2),
        }
    }
}

/// The power of two whose exponent field is byte `byte` of `word`, and the last bit of an f32 more, which makes a NaN of 255
/// and is gone in an f16. Field 0 is 0: that power of two is none in units, of which the least is 2^−64.
#[inline(always)]
const fn power_of_two(word: u32, byte: u32) -> f32 {
    let shifted = if byte == 3 { word >> 1 } else { word << (23 - 8 * byte) };
    f32::from_bits(shifted & 0x7f80_0000 | 1)
}

/// The [`size`](unit::size) of the largest of the scales, at `scales`, that this lane looks at: those of all 32 are those of
/// a block. Those of tokens that do not count are 0.
///
/// # Safety
/// The scales have landed.
#[inline(always)]
pub unsafe fn largest<F: Codes>(scales: u32) -> u32 {
    let first = scales + special::lane() * 16;
    let mut largest = 0;
    seq!(I in 0..2 {
        if I * 32 * 16 < SCALE_BYTES / 16 * F::TOKEN_SCALE_BYTES {
            // SAFETY: inside the scales of the block, 16-byte aligned.
            let words = unsafe { shared::load_u32x4(first + I * 32 * 16) };
            let [a, b, c, d] = words.map(|word| match F::LAYOUT.scale {
                ScaleType::F32 => unit::size(word),
                ScaleType::Ue8m0 => largest_exponent(word),
            });
            largest = largest.max(a.max(b)).max(c.max(d));
        }
    });
    largest
}

/// The size of the largest of the four powers of two whose exponent fields are the bytes of `word`.
#[inline(always)]
fn largest_exponent(word: u32) -> u32 {
    let size = |byte: u32| unit::size((word >> (8 * byte) & 0xff) << 23);
    size(0).max(size(1)).max(size(2)).max(size(3))
}
