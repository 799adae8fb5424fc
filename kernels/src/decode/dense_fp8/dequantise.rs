//! Codes become f16 elements of a tile.

use seq_macro::seq;

use crate::ptx::math;
use crate::tile::element::{Bf16, Element, F16};

/// The lower of two packed f16, twice.
#[inline(always)]
pub const fn low(pair: u32) -> u32 {
    pair & 0xffff | pair << 16
}

/// The upper of two packed f16, twice.
#[inline(always)]
pub const fn high(pair: u32) -> u32 {
    pair & 0xffff_0000 | pair >> 16
}

/// 16 codes, multiplied by the f16 that `factor` has twice: two chunks of a tile.
#[inline(always)]
pub fn elements(codes: [u32; 4], factor: u32) -> [[u32; 4]; 2] {
    let mut elements = [[0; 4]; 2];
    seq!(I in 0..4 {
        let [low, high] = math::unpack_e4m3_f16(codes[I]);
        elements[I / 2][I % 2 * 2] = math::multiply_f16x2(low, factor);
        elements[I / 2][I % 2 * 2 + 1] = math::multiply_f16x2(high, factor);
    });
    elements
}

/// Two rope parts in bf16, times the power of two `inverse`, as elements of type `E`.
#[inline(always)]
pub fn rope<E: Element>(pair: u32, inverse: f32) -> u32 {
    if E::IS_BF16 {
        return math::multiply_bf16x2(pair, high(inverse.to_bits()));
    }
    let [low, high] = Bf16::unpack(pair);
    F16::pack(low * inverse, high * inverse)
}
