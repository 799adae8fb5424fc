//! Arithmetic as the GPU does it.

use half::{bf16, f16};

use crate::machine::context::special_function;
use crate::machine::poison::check_values;
use crate::machine::tensor_core::e4m3;

/// Subnormal numbers become zero, as `.ftz` has it.
fn flush(x: f32) -> f32 {
    if x.is_subnormal() { 0.0f32.copysign(x) } else { x }
}

/// `fma.rn.f32`: `a · b + c`, rounded once.
#[track_caller]
#[must_use]
pub fn fma(a: f32, b: f32, c: f32) -> f32 {
    check_values(&[a, b, c], "fma");
    a.mul_add(b, c)
}

/// `ex2.approx.ftz.f32`: 2^x within 2 ulp; 2^−∞ = 0.
#[track_caller]
#[must_use]
pub fn exp2(x: f32) -> f32 {
    check_values(&[x], "ex2");
    special_function();
    flush(flush(x).exp2())
}

/// `lg2.approx.ftz.f32`: log₂ x; log₂ 0 = −∞.
#[track_caller]
#[must_use]
pub fn log2(x: f32) -> f32 {
    check_values(&[x], "lg2");
    special_function();
    flush(flush(x).log2())
}

/// `rcp.approx.ftz.f32`: 1/x within 1 ulp.
#[track_caller]
#[must_use]
pub fn recip(x: f32) -> f32 {
    check_values(&[x], "rcp");
    special_function();
    flush(flush(x).recip())
}

/// `rsqrt.approx.ftz.f32`: 1/√x.
#[track_caller]
#[must_use]
pub fn rsqrt(x: f32) -> f32 {
    check_values(&[x], "rsqrt");
    special_function();
    flush(flush(x).sqrt().recip())
}

/// Bits of an f32's mantissa that `tanh.approx` leaves right: with ten, rounding is off by 2^−11 at most, as much as a
/// GPU may be.
const TANH_BITS: u32 = 10;

/// `tanh.approx.f32`: the hyperbolic tangent within a relative error of 2^−11, which it has indeed.
#[track_caller]
#[must_use]
pub fn tanh(x: f32) -> f32 {
    check_values(&[x], "tanh");
    special_function();
    let exact = x.tanh();
    if exact.is_nan() {
        return exact;
    }
    let dropped = f32::MANTISSA_DIGITS - 1 - TANH_BITS;
    let rounded = exact.to_bits() + (1 << (dropped - 1));
    f32::from_bits(rounded >> dropped << dropped)
}

/// `max.f32`: the larger; a NaN loses against a number.
#[track_caller]
#[must_use]
pub fn max(a: f32, b: f32) -> f32 {
    check_values(&[a, b], "max");
    a.max(b)
}

/// `min.f32`: the smaller; a NaN loses against a number.
#[track_caller]
#[must_use]
pub fn min(a: f32, b: f32) -> f32 {
    check_values(&[a, b], "min");
    a.min(b)
}

/// The NaN that conversions to 16 bits give.
const NAN_16: u16 = 0x7fff;

fn round_bf16(x: f32) -> u32 {
    if x.is_nan() { NAN_16.into() } else { bf16::from_f32(x).to_bits().into() }
}

fn round_f16(x: f32) -> u32 {
    if x.is_nan() { NAN_16.into() } else { f16::from_f32(x).to_bits().into() }
}

/// `cvt.rn.bf16x2.f32`: two floats rounded to bf16, `low` in bits 0–15.
#[track_caller]
#[must_use]
pub fn pack_bf16(low: f32, high: f32) -> u32 {
    check_values(&[low, high], "cvt");
    round_bf16(low) | round_bf16(high) << 16
}

/// `cvt.rn.f16x2.f32`: two floats rounded to f16, `low` in bits 0–15.
#[track_caller]
#[must_use]
pub fn pack_f16(low: f32, high: f32) -> u32 {
    check_values(&[low, high], "cvt");
    round_f16(low) | round_f16(high) << 16
}

/// `cvt.f32.f16`, twice: the values of two packed f16, that of bits 0–15 first.
#[must_use]
pub fn unpack_f16(packed: u32) -> [f32; 2] {
    [packed as u16, (packed >> 16) as u16].map(|bits| f16::from_bits(bits).to_f32())
}

/// `prmt.b32`: four of the eight bytes of `low` and `high`, named by the four lower hex digits of `selector`, the first in
/// bits 0–7. A digit of 8 or more repeats the sign of the byte that its lower bits name.
#[must_use]
pub fn permute(low: u32, high: u32, selector: u32) -> u32 {
    let bytes = (u64::from(high) << 32 | u64::from(low)).to_le_bytes();
    u32::from_le_bytes(std::array::from_fn(|i| {
        let digit = selector >> (4 * i) & 0xf;
        let byte = bytes[digit as usize % 8];
        if digit < 8 { byte } else { ((byte as i8) >> 7) as u8 }
    }))
}

/// `cvt.rn.satfinite.e4m3x2.f32`: two floats rounded to e4m3, `low` in bits 0–7; too large becomes ±448.
#[track_caller]
#[must_use]
pub fn pack_e4m3(low: f32, high: f32) -> u16 {
    check_values(&[low, high], "cvt");
    u16::from(round_e4m3(low)) | u16::from(round_e4m3(high)) << 8
}

fn round_e4m3(x: f32) -> u8 {
    if x.is_nan() {
        return 0x7f;
    }
    let sign = u8::from(x.is_sign_negative()) << 7;
    let magnitude = x.abs().min(448.0);
    // Below 2^−6 numbers are subnormal: multiples of 2^−9.
    let exponent = ((magnitude.to_bits() >> 23) as i32 - 127).max(-6);
    let eighths = (magnitude * ((3 - exponent) as f32).exp2()).round_ties_even() as u32;
    let bits = if eighths < 8 {
        eighths
    } else {
        let (exponent, eighths) =
            if eighths == 16 { (exponent + 1, 8) } else { (exponent, eighths) };
        ((exponent + 7) as u32) << 3 | (eighths - 8)
    };
    sign | bits as u8
}

/// `cvt.rn.f16x2.e4m3x2`: two packed e4m3 as two packed f16, exactly, that of bits 0–7 in bits 0–15.
#[must_use]
pub fn unpack_e4m3(packed: u16) -> u32 {
    let [low, high] = packed.to_le_bytes().map(|code| round_f16(e4m3(code)));
    low | high << 16
}

/// `mul.rn.f16x2`: products of packed f16, each rounded once.
#[must_use]
pub fn multiply_f16x2(a: u32, b: u32) -> u32 {
    // A product of 11 and 11 bits is exact in f32.
    let ([a, c], [b, d]) = (unpack_f16(a), unpack_f16(b));
    round_f16(a * b) | round_f16(c * d) << 16
}

/// `mul.rn.bf16x2`: products of packed bf16, each rounded once.
#[must_use]
pub fn multiply_bf16x2(a: u32, b: u32) -> u32 {
    let product = |a: u32, b: u32| {
        // Exact in f64, and below the smallest f32 as well.
        let [a, b] = [a, b].map(|bits| bf16::from_bits(bits as u16).to_f64());
        let bits = bf16::from_f64(a * b).to_bits();
        if (a * b).is_nan() { u32::from(NAN_16) } else { bits.into() }
    };
    product(a, b) | product(a >> 16, b >> 16) << 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnormals_flush_and_limits_hold() {
        assert_eq!(exp2(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp2(-140.0), 0.0);
        assert_eq!(exp2(10.0), 1024.0);
        assert_eq!(log2(0.0), f32::NEG_INFINITY);
        assert_eq!(log2(1e-40), f32::NEG_INFINITY);
        assert_eq!(recip(1e-40), f32::INFINITY);
        assert_eq!(recip(3e38), 0.0);
        assert_eq!(max(f32::NAN, -3.0), -3.0);
        assert_eq!(min(2.0, f32::NAN), 2.0);
    }

    #[test]
    fn tanh_is_as_coarse_as_the_instruction() {
        let mut largest = 0.0f64;
        for i in -4000..4000 {
            let x = i as f32 / 997.0;
            let exact = f64::from(x).tanh();
            if exact != 0.0 {
                largest = largest.max((f64::from(tanh(x)) / exact - 1.0).abs());
            }
        }
        let limit = 2f64.powi(-11);
        assert!(largest <= limit * 1.001 && largest > limit / 2.0, "{largest}");
        assert_eq!([tanh(0.0), tanh(f32::INFINITY), tanh(-30.0)], [0.0, 1.0, -1.0]);
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn permutations_name_bytes() {
        assert_eq!(permute(0x3322_1100, 0x7766_5544, 0x6420), 0x6644_2200);
        assert_eq!(permute(0x3322_1100, 0x7766_5544, 0x7531), 0x7755_3311);
        assert_eq!(permute(0x80, 0x7f, 0x4c08), 0x7f00_80ff);
    }

    #[test]
    fn conversions_round_to_nearest_even() {
        assert_eq!(pack_bf16(1.0, -2.0), 0xc000_3f80);
        assert_eq!(
            pack_bf16(f32::from_bits(0x3f80_8000), f32::from_bits(0x3f81_8000)),
            0x3f82_3f80
        );
        assert_eq!(pack_bf16(f32::NAN, f32::from_bits(0x7f7f_ffff)), 0x7f80_7fff);
        assert_eq!(pack_f16(65519.0, 65520.0), 0x7c00_7bff);
        assert_eq!(pack_f16(2f32.powi(-25), 2f32.powi(-24)), 0x0001_0000);
    }

    #[test]
    fn packed_products_round_once() {
        // 1.5 · 1.5, and (1 + 2^−10)² = 1 + 2^−9 + 2^−20.
        assert_eq!(multiply_f16x2(0x3e00 | 0x3c01 << 16, 0x3e00 | 0x3c01 << 16), 0x3c02_4080);
        assert_eq!(multiply_f16x2(0x7bff | 0x0400 << 16, 0x4000 | 0x1000 << 16), 0x0000_7c00);
        assert_eq!(multiply_f16x2(0x7c00, 0) & 0xffff, 0x7fff);
        assert_eq!(multiply_bf16x2(0x3fc0 | 0x0080 << 16, 0x3fc0 | 0x3f00 << 16), 0x0040_4010);
        assert_eq!(multiply_bf16x2(0x7f80, 0) & 0xffff, 0x7fff);
    }

    /// Every finite e4m3 survives; the middle between two neighbours goes to the even one.
    #[test]
    fn e4m3_round_trips_and_rounds_to_even() {
        for bits in 0..0x7e_u8 {
            let (low, high) = (e4m3(bits), e4m3(bits + 1));
            assert_eq!(round_e4m3(low), bits);
            assert_eq!(round_e4m3(-low), bits | 0x80);
            assert_eq!(round_e4m3((low + high) / 2.0), bits + bits % 2, "{low} {high}");
        }
        assert_eq!(round_e4m3(1e9), 0x7e);
        assert_eq!(round_e4m3(f32::NAN), 0x7f);
    }

    /// All codes come back as the f16 of their value, one NaN for both of theirs.
    #[test]
    fn e4m3_is_exact_in_f16() {
        for code in 0..=255u8 {
            let pair = unpack_f16(unpack_e4m3(u16::from_le_bytes([code, !code])));
            for (value, code) in pair.into_iter().zip([code, !code]) {
                let same = value.to_bits() == e4m3(code).to_bits();
                assert!(same || value.is_nan() && e4m3(code).is_nan(), "{code:#x}: {value}");
            }
            if code & 0x7f != 0x7f {
                assert_eq!(round_e4m3(e4m3(code)), code);
            }
        }
    }
}
