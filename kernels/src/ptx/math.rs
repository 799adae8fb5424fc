//! Arithmetic that Rust has no operator for on this target. PTX ISA: Floating Point Instructions; Data
//! Movement and Conversion, `cvt`.

use core::arch::asm;

/// `fma.rn.f32`: `a · b + c`, rounded once.
#[inline(always)]
pub fn fma(a: f32, b: f32, c: f32) -> f32 {
    let d;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "fma.rn.f32 {}, {}, {}, {};",
            out(reg32) d, in(reg32) a, in(reg32) b, in(reg32) c,
            options(pure, nomem, nostack)
        )
    };
    d
}

/// `ex2.approx.ftz.f32`: 2^x within 2 ulp; 2^−∞ = 0.
#[inline(always)]
pub fn exp2(x: f32) -> f32 {
    let y;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("ex2.approx.ftz.f32 {}, {};", out(reg32) y, in(reg32) x, options(pure, nomem, nostack))
    };
    y
}

/// `lg2.approx.ftz.f32`: log₂ x, absolute error 2^−22 near 1 and relative 2^−22 elsewhere; log₂ 0 = −∞.
#[inline(always)]
pub fn log2(x: f32) -> f32 {
    let y;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("lg2.approx.ftz.f32 {}, {};", out(reg32) y, in(reg32) x, options(pure, nomem, nostack))
    };
    y
}

/// `rcp.approx.ftz.f32`: 1/x within 1 ulp.
#[inline(always)]
pub fn recip(x: f32) -> f32 {
    let y;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("rcp.approx.ftz.f32 {}, {};", out(reg32) y, in(reg32) x, options(pure, nomem, nostack))
    };
    y
}

/// `tanh.approx.f32`: the hyperbolic tangent, relative error 2^−11.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let y;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("tanh.approx.f32 {}, {};", out(reg32) y, in(reg32) x, options(pure, nomem, nostack))
    };
    y
}

/// `max.f32`: the larger; a NaN loses against a number.
#[inline(always)]
pub fn max(a: f32, b: f32) -> f32 {
    let c;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("max.f32 {}, {}, {};", out(reg32) c, in(reg32) a, in(reg32) b, options(pure, nomem, nostack))
    };
    c
}

/// `cvt.rn.bf16x2.f32`: two floats rounded to bf16, `low` in bits 0–15.
#[inline(always)]
pub fn pack_bf16(low: f32, high: f32) -> u32 {
    let packed;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "cvt.rn.bf16x2.f32 {}, {}, {};",
            out(reg32) packed, in(reg32) high, in(reg32) low,
            options(pure, nomem, nostack)
        )
    };
    packed
}

/// `cvt.rn.f16x2.f32`: two floats rounded to f16, `low` in bits 0–15.
#[inline(always)]
pub fn pack_f16(low: f32, high: f32) -> u32 {
    let packed;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "cvt.rn.f16x2.f32 {}, {}, {};",
            out(reg32) packed, in(reg32) high, in(reg32) low,
            options(pure, nomem, nostack)
        )
    };
    packed
}

/// `rsqrt.approx.ftz.f32`: 1/√x, relative error 2^−22.9.
#[inline(always)]
pub fn rsqrt(x: f32) -> f32 {
    let y;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("rsqrt.approx.ftz.f32 {}, {};", out(reg32) y, in(reg32) x, options(pure, nomem, nostack))
    };
    y
}

/// `cvt.f32.f16`, twice: the values of two packed f16, that of bits 0–15 first.
#[inline(always)]
pub fn unpack_f16(packed: u32) -> [f32; 2] {
    let (low, high);
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "{{ .reg .b16 l, h; mov.b32 {{l, h}}, {};",
            "cvt.f32.f16 {}, l;",
            "cvt.f32.f16 {}, h; }}",
            in(reg32) packed, out(reg32) low, out(reg32) high,
            options(pure, nomem, nostack)
        )
    };
    [low, high]
}

/// `prmt.b32`: four of the eight bytes of `low` and `high`, named by the four lower hex digits of `selector`, the first in
/// bits 0–7. A digit is below 8.
#[inline(always)]
pub fn permute(low: u32, high: u32, selector: u32) -> u32 {
    let bytes;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "prmt.b32 {}, {}, {}, {};",
            out(reg32) bytes, in(reg32) low, in(reg32) high, in(reg32) selector,
            options(pure, nomem, nostack)
        )
    };
    bytes
}

/// `cvt.rn.satfinite.e4m3x2.f32`, twice: four floats rounded to e4m3, the first in bits 0–7; too large becomes ±448.
#[inline(always)]
pub fn pack_e4m3([a, b, c, d]: [f32; 4]) -> u32 {
    let packed;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "{{ .reg .b16 l, h;",
            "cvt.rn.satfinite.e4m3x2.f32 l, {}, {};",
            "cvt.rn.satfinite.e4m3x2.f32 h, {}, {};",
            "mov.b32 {}, {{l, h}}; }}",
            in(reg32) b, in(reg32) a, in(reg32) d, in(reg32) c, out(reg32) packed,
            options(pure, nomem, nostack)
        )
    };
    packed
}

/// `cvt.rn.f16x2.e4m3x2` and `cvt.f32.f16`: the values of four packed e4m3, that of bits 0–7 first.
#[inline(always)]
pub fn unpack_e4m3(packed: u32) -> [f32; 4] {
    let [low, high] = unpack_e4m3_f16(packed);
    let ([a, b], [c, d]) = (unpack_f16(low), unpack_f16(high));
    [a, b, c, d]
}

/// `cvt.rn.f16x2.e4m3x2`, twice: four packed e4m3 as packed f16, exactly, that of bits 0–7 first.
#[inline(always)]
pub fn unpack_e4m3_f16(packed: u32) -> [u32; 2] {
    let (low, high);
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "{{ .reg .b16 l, h; mov.b32 {{l, h}}, {};",
            "cvt.rn.f16x2.e4m3x2 {}, l;",
            "cvt.rn.f16x2.e4m3x2 {}, h; }}",
            in(reg32) packed, out(reg32) low, out(reg32) high,
            options(pure, nomem, nostack)
        )
    };
    [low, high]
}

/// `mul.rn.f16x2`: products of packed f16, each rounded once.
#[inline(always)]
pub fn multiply_f16x2(a: u32, b: u32) -> u32 {
    let product;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "mul.rn.f16x2 {}, {}, {};",
            out(reg32) product, in(reg32) a, in(reg32) b,
            options(pure, nomem, nostack)
        )
    };
    product
}

/// `mul.rn.bf16x2`: products of packed bf16, each rounded once.
#[inline(always)]
pub fn multiply_bf16x2(a: u32, b: u32) -> u32 {
    let product;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "mul.rn.bf16x2 {}, {}, {};",
            out(reg32) product, in(reg32) a, in(reg32) b,
            options(pure, nomem, nostack)
        )
    };
    product
}
