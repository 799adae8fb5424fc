//! The arithmetic of quantisation, as [`format`](super::format) says it: to the bit what IEEE division and rounding
//! give.

use seq_macro::seq;

use super::format::{Format, LARGEST, LEAST_SCALE};
use crate::cache::row::Latent;
use crate::ptx::{math, warp};
use crate::tile::element::Element;

/// A lane's share of the latent part in f32; zeros where it has none.
pub type Values = [[f32; 8]; 2];

/// The values of a lane's share.
#[inline(always)]
pub fn unpack<E: Element>(latent: Latent) -> Values {
    // SAFETY: zeros are numbers.
    let mut values: Values = unsafe { core::mem::zeroed() };
    seq!(I in 0..8 {
        let [low, high] = E::unpack(latent[I / 4][I % 4]);
        values[I / 4][2 * (I % 4)] = low;
        values[I / 4][2 * (I % 4) + 1] = high;
    });
    values
}

/// The scale of each half of the lane's share. All lanes call it, converged.
#[inline(always)]
pub fn scales<F: Format>(values: Values, power_of_two: bool) -> [f32; 2] {
    if F::LAYOUT.tile == 512 {
        let amax = math::max(largest(values[0]), largest(values[1]));
        return [scale_of(over_lanes::<32>(amax), power_of_two); 2];
    }
    values.map(|values| {
        let amax = largest(values);
        let amax =
            if F::LAYOUT.tile == 128 { over_lanes::<16>(amax) } else { over_lanes::<8>(amax) };
        scale_of(amax, power_of_two)
    })
}

/// The largest magnitude that is a number.
#[inline(always)]
fn largest(values: [f32; 8]) -> f32 {
    let mut amax = 0.0;
    seq!(I in 0..8 {
        amax = math::max(amax, finite(values[I]).abs());
    });
    amax
}

/// The largest of the values of `LANES` lanes that lie side by side.
#[inline(always)]
fn over_lanes<const LANES: u32>(mut amax: f32) -> f32 {
    if LANES > 16 {
        amax = math::max(amax, warp::butterfly::<16>(amax));
    }
    if LANES > 8 {
        amax = math::max(amax, warp::butterfly::<8>(amax));
    }
    amax = math::max(amax, warp::butterfly::<4>(amax));
    amax = math::max(amax, warp::butterfly::<2>(amax));
    math::max(amax, warp::butterfly::<1>(amax))
}

/// The scale of elements of which `amax` is the largest magnitude.
#[inline(always)]
pub fn scale_of(amax: f32, power_of_two: bool) -> f32 {
    let scale = math::max(divide(amax, LARGEST, 1.0 / LARGEST), LEAST_SCALE);
    if power_of_two { round_up(scale) } else { scale }
}

/// The next power of two of a normal number.
#[inline(always)]
fn round_up(scale: f32) -> f32 {
    const FRACTION: u32 = (1 << 23) - 1;
    f32::from_bits((scale.to_bits() + FRACTION) & !FRACTION)
}

/// The lane's e4m3 codes, four in a word.
#[inline(always)]
pub fn quantise(values: Values, scales: [f32; 2]) -> [[u32; 2]; 2] {
    let inverses = [1.0 / scales[0], 1.0 / scales[1]];
    let mut codes = [[0; 2]; 2];
    seq!(I in 0..4 {
        let [half, first] = [I / 2, 4 * (I % 2)];
        let quotient = |i: usize| {
            divide(values[half][first + i], scales[half], inverses[half])
        };
        codes[half][I % 2] =
            math::pack_e4m3([quotient(0), quotient(1), quotient(2), quotient(3)]);
    });
    codes
}

/// `x`, NaN for an infinity.
#[inline(always)]
pub fn finite(x: f32) -> f32 {
    if x.abs() < f32::INFINITY { x } else { f32::NAN }
}

/// `x / y`, NaN for an infinite `x`, with `y`'s reciprocal to nearest, and one correction by the remainder, which fma has exactly. To nearest for
/// every `x` and `y` that come of 16-bit elements, as the test below has tried; for others too, but for some quotients
/// within 2^−24 units of the middle between two f32. Four instructions, where `div.rn` has eight and a branch.
#[inline(always)]
fn divide(x: f32, y: f32, reciprocal: f32) -> f32 {
    let quotient = x * reciprocal;
    let quotient = math::fma(math::fma(-quotient, y, x), reciprocal, quotient);
    // The correction loses the sign of a zero.
    quotient.copysign(x)
}

#[cfg(all(test, feature = "simt"))]
mod tests {
    extern crate std;

    use super::*;

    /// Every quotient of two elements of 11 bits, which those of bf16 are among; exponents change none of it.
    #[test]
    fn division_rounds_to_nearest() {
        let elements = || (1024..2048).map(|significand| significand as f32);
        for amax in elements() {
            let scale = divide(amax, LARGEST, 1.0 / LARGEST);
            assert_eq!(scale, amax / LARGEST, "{amax}");
            for x in elements() {
                assert_eq!(divide(x, scale, 1.0 / scale), x / scale, "{x} of {amax}");
            }
        }
        for zero in [0f32, -0.0] {
            assert_eq!(divide(zero, 3.0, 1.0 / 3.0).to_bits(), zero.to_bits());
        }
    }

    /// The same at the ends of the range: no remainder is lost, no quotient overflows.
    #[test]
    fn exponents_change_nothing() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..100_000 {
            // Scales from 2^−80 to 2^120, quotients from 2^−16 to 2^16: below 2^−11 all e4m3 codes are 0.
            let y = f32::from_bits(random.u32(47 << 23..247 << 23));
            let quotient = f32::from_bits(random.u32(111 << 23..143 << 23));
            for x in [quotient * y, (-quotient * y).next_up()] {
                if x.is_finite() {
                    assert_eq!(divide(x, y, 1.0 / y), x / y, "{x:e} / {y:e}");
                }
            }
        }
    }

    #[test]
    fn powers_of_two() {
        for (scale, expected) in [(1.0, 1.0), (1f32.next_up(), 2.0), (2f32.next_down(), 2.0)] {
            assert_eq!(round_up(scale), expected);
        }
        assert_eq!(round_up(LEAST_SCALE), LEAST_SCALE);
    }
}
