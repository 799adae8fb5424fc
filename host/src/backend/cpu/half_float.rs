//! The two 16-bit element types, seen alike.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::dtype::Element;

/// bf16 or f16. Conversions to it give the nearest value, ties to even.
pub trait HalfFloat: Element {
    /// Its value, exactly.
    fn to_f32(self) -> f32;
    /// Its value, exactly.
    fn to_f64(self) -> f64;
    /// The nearest value.
    fn from_f32(value: f32) -> Self;
    /// The nearest value.
    fn from_f64(value: f64) -> Self;
    /// The values of a slice, exactly; both have the same length.
    fn widen(from: &[Self], to: &mut [f32]);
}

macro_rules! half_float {
    ($($type:ty),*) => {$(
        impl HalfFloat for $type {
            fn to_f32(self) -> f32 {
                <$type>::to_f32(self)
            }

            fn to_f64(self) -> f64 {
                <$type>::to_f64(self)
            }

            fn from_f32(value: f32) -> Self {
                <$type>::from_f32(value)
            }

            fn from_f64(value: f64) -> Self {
                <$type>::from_f64(value)
            }

            fn widen(from: &[Self], to: &mut [f32]) {
                from.convert_to_f32_slice(to);
            }
        }
    )*};
}

half_float!(bf16, f16);
