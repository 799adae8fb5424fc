//! Arithmetic.

use oxmla_simt::math;
pub use oxmla_simt::math::{exp2, fma, log2, max, pack_bf16, pack_f16, recip};
pub use oxmla_simt::math::{multiply_bf16x2, multiply_f16x2, permute, rsqrt, tanh, unpack_f16};

#[track_caller]
pub fn pack_e4m3([a, b, c, d]: [f32; 4]) -> u32 {
    math::pack_e4m3(a, b) as u32 | (math::pack_e4m3(c, d) as u32) << 16
}

pub fn unpack_e4m3(packed: u32) -> [f32; 4] {
    let [[a, b], [c, d]] = unpack_e4m3_f16(packed).map(unpack_f16);
    [a, b, c, d]
}

pub fn unpack_e4m3_f16(packed: u32) -> [u32; 2] {
    [packed, packed >> 16].map(|pair| math::unpack_e4m3(pair as u16))
}
