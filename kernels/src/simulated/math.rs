//! Arithmetic.

pub use oxmla_simt::math::{exp2, fma, log2, max, pack_bf16, pack_f16, recip};
pub use oxmla_simt::math::{rsqrt, unpack_f16};
