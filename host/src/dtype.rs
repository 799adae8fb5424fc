//! Element types of tensors.

use std::fmt;

use bytemuck::Pod;
use half::{bf16, f16};

/// Type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// bfloat16, 2 bytes.
    Bf16,
    /// IEEE half precision, 2 bytes.
    F16,
    /// IEEE single precision, 4 bytes.
    F32,
    /// Signed 32-bit integer, 4 bytes.
    I32,
    /// A byte: what a cache in an [`Fp8Format`](crate::cache::Fp8Format) is made of.
    U8,
}

impl DType {
    /// Bytes of one element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Bf16 | Self::F16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::U8 => 1,
        }
    }

    /// Whether queries, cache and output may have this type.
    #[must_use]
    pub const fn is_attention_type(self) -> bool {
        matches!(self, Self::Bf16 | Self::F16)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::I32 => "i32",
            Self::U8 => "u8",
        })
    }
}

/// A Rust type whose values are the elements of a tensor: [`bf16`], [`struct@f16`], [`f32`], [`i32`] or
/// [`u8`].
pub trait Element: Pod + Send + Sync + sealed::Sealed {
    /// Its name at run time.
    const DTYPE: DType;
}

impl Element for bf16 {
    const DTYPE: DType = DType::Bf16;
}

impl Element for f16 {
    const DTYPE: DType = DType::F16;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
}

impl Element for i32 {
    const DTYPE: DType = DType::I32;
}

impl Element for u8 {
    const DTYPE: DType = DType::U8;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for half::bf16 {}
    impl Sealed for half::f16 {}
    impl Sealed for f32 {}
    impl Sealed for i32 {}
    impl Sealed for u8 {}
}
