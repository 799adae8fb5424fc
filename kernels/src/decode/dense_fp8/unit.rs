//! The unit of a piece: the power of two in which its tiles count.
//!
//! Tiles are f16, whose numbers end at 65,504, while a scale may be any f32. So what is multiplied is not `code · scale`
//! but `code · (scale / unit)`, and scores and outputs are multiplied by the unit where they are multiplied anyway. No
//! scale of the piece so far is 2^7 units or more, for 448 · 2^7 is an f16. Of scales down to 2^−17 of the largest
//! the quotient is rounded to 11 bits, and so are their codes, but where they come below 2^−14 units: there they are off
//! by 2^−25 units, less than 2^−19 of what the group's largest code stands for.
//!
//! The unit follows the largest scale with room to spare, so that results seldom have to be brought to a new one.

use crate::decode::header::Header;

/// Bits of an f32 below its exponent.
const FRACTION: u32 = 23;
/// The exponent field of 1.
const BIAS: u32 = 127;
/// The exponent field of the smallest unit, 2^−64: rope parts are multiplied by its inverse, and have to stay finite.
const LEAST: u32 = BIAS - 64;
/// How many powers of two lie between the unit and the power of two above the largest scale: at most, and when the unit
/// is chosen.
const MOST: u32 = 7;
/// See [`MOST`].
const CHOSEN: u32 = 4;
/// How many more powers of two there may be between the unit and a rope part that is to be an f16.
const ROPE_MORE: u32 = 8;

/// A positive power of two.
#[derive(Clone, Copy)]
pub struct Unit {
    /// Its exponent field.
    exponent: u32,
}

/// How large a scale is, in a form of which the maximum is taken as that of integers: exponent field and 1, then fraction.
/// NaN and infinity count as nothing, for the LSE of rows that do not see them stays right.
#[inline(always)]
pub const fn size(scale: u32) -> u32 {
    (scale << 1).wrapping_add(2 << FRACTION)
}

/// The same of a rope part, as an f32, in a piece whose rope tiles are f16.
#[inline(always)]
pub const fn rope_size(element: u32) -> u32 {
    size(element).saturating_sub(ROPE_MORE << (FRACTION + 1))
}

impl Unit {
    /// That of a piece before its first block.
    #[inline(always)]
    pub const fn new() -> Self {
        Self { exponent: LEAST }
    }

    /// Follows a block whose largest scale has the [`size`] `largest`; what `header` then is.
    #[inline(always)]
    pub fn follow(&mut self, largest: u32, header: Header) -> Header {
        let before = self.exponent;
        // The exponent field of the power of two above the scale.
        let above = largest >> (FRACTION + 1);
        if above > before + MOST {
            self.exponent = above - CHOSEN;
        }
        header.in_unit(self.exponent, self.exponent - before)
    }

    /// That of the block of `header`.
    #[inline(always)]
    pub fn of(header: &Header) -> Self {
        Self { exponent: header.unit() }
    }

    /// That of the block before, counted in that of the block of `header`; 0 if f32 has nothing as small.
    #[inline(always)]
    pub fn moved(header: &Header) -> f32 {
        f32::from_bits(BIAS.saturating_sub(header.risen()) << FRACTION)
    }

    /// Its value.
    #[inline(always)]
    pub const fn value(self) -> f32 {
        f32::from_bits(self.exponent << FRACTION)
    }

    /// Its inverse.
    #[inline(always)]
    pub const fn inverse(self) -> f32 {
        f32::from_bits((2 * BIAS - self.exponent) << FRACTION)
    }
}
