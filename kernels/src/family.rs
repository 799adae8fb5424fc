//! Which entry point is in which PTX module. A driver compiles a module as a whole, so kernels that a program has use for
//! together are together, and no others.

use crate::launch::{
    APPEND_BF16, APPEND_F16, APPEND_FP8_584_BF16, APPEND_FP8_584_F16, APPEND_FP8_644_BF16,
    APPEND_FP8_644_F16, APPEND_FP8_656_BF16, APPEND_FP8_656_F16, COPY_BLOCKS, DENSE_DECODE_BF16,
    DENSE_DECODE_F16, DENSE_DECODE_LIMITED_BF16, DENSE_DECODE_LIMITED_F16, DENSE_FP8_DECODE_BF16,
    DENSE_FP8_DECODE_F16, DENSE_FP8_DECODE_LIMITED_BF16, DENSE_FP8_DECODE_LIMITED_F16,
    FP8_MATH_DECODE_BF16, FP8_MATH_DECODE_F16, FP8_MATH_DECODE_LIMITED_BF16,
    FP8_MATH_DECODE_LIMITED_F16, GATHER, GATHER_FP8_584_BF16, GATHER_FP8_584_F16,
    GATHER_FP8_644_BF16, GATHER_FP8_644_F16, GATHER_FP8_656_BF16, GATHER_FP8_656_F16, GEMM_BF16,
    GEMM_F16, Kernel, NORM_BF16, NORM_F16, PAIR_DECODE_BF16, PAIR_DECODE_F16,
    PAIR_DECODE_LIMITED_BF16, PAIR_DECODE_LIMITED_F16, SPARSE_DECODE_512_BF16,
    SPARSE_DECODE_576_BF16, SPARSE_FP8_584_DECODE_BF16, SPARSE_FP8_656_DECODE_BF16,
    SPARSE_PREFILL_512_BF16, SPARSE_PREFILL_576_BF16,
};

/// Kernels that are compiled into one PTX module, and loaded together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Family {
    /// Dense decode over a bf16 cache.
    DecodeBf16,
    /// Dense decode over an f16 cache.
    DecodeF16,
    /// Dense decode with windows and a soft cap over a bf16 cache.
    DecodeLimitedBf16,
    /// Dense decode with windows and a soft cap over an f16 cache.
    DecodeLimitedF16,
    /// Dense decode over FP8 caches, in 16-bit and in FP8 math, queries of bf16.
    Fp8DecodeBf16,
    /// Dense decode over FP8 caches, in 16-bit and in FP8 math, queries of f16.
    Fp8DecodeF16,
    /// Dense decode with windows and a soft cap over FP8 caches, in 16-bit and in FP8 math, queries of bf16.
    Fp8DecodeLimitedBf16,
    /// Dense decode with windows and a soft cap over FP8 caches, in 16-bit and in FP8 math, queries of f16.
    Fp8DecodeLimitedF16,
    /// Sparse decode over a bf16 cache.
    SparseDecode,
    /// Sparse decode over an FP8 cache.
    Fp8SparseDecode,
    /// Sparse prefill over a bf16 cache.
    SparsePrefill,
    /// Matrix products.
    Gemm,
    /// Rows into a cache and out of it, copies of blocks, rows normalised.
    Rows,
    /// Rows into an FP8 cache and out of it.
    Fp8Rows,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::DecodeBf16,
        Self::DecodeF16,
        Self::DecodeLimitedBf16,
        Self::DecodeLimitedF16,
        Self::Fp8DecodeBf16,
        Self::Fp8DecodeF16,
        Self::Fp8DecodeLimitedBf16,
        Self::Fp8DecodeLimitedF16,
        Self::SparseDecode,
        Self::Fp8SparseDecode,
        Self::SparsePrefill,
        Self::Gemm,
        Self::Rows,
        Self::Fp8Rows,
    ];

    /// What the module is called in files and errors.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DecodeBf16 => "decode_bf16",
            Self::DecodeF16 => "decode_f16",
            Self::DecodeLimitedBf16 => "decode_limited_bf16",
            Self::DecodeLimitedF16 => "decode_limited_f16",
            Self::Fp8DecodeBf16 => "fp8_decode_bf16",
            Self::Fp8DecodeF16 => "fp8_decode_f16",
            Self::Fp8DecodeLimitedBf16 => "fp8_decode_limited_bf16",
            Self::Fp8DecodeLimitedF16 => "fp8_decode_limited_f16",
            Self::SparseDecode => "sparse_decode",
            Self::Fp8SparseDecode => "fp8_sparse_decode",
            Self::SparsePrefill => "sparse_prefill",
            Self::Gemm => "gemm",
            Self::Rows => "rows",
            Self::Fp8Rows => "fp8_rows",
        }
    }

    /// Its entry points.
    #[must_use]
    pub const fn kernels(self) -> &'static [Kernel] {
        match self {
            Self::DecodeBf16 => &[DENSE_DECODE_BF16, PAIR_DECODE_BF16],
            Self::DecodeF16 => &[DENSE_DECODE_F16, PAIR_DECODE_F16],
            Self::DecodeLimitedBf16 => &[DENSE_DECODE_LIMITED_BF16, PAIR_DECODE_LIMITED_BF16],
            Self::DecodeLimitedF16 => &[DENSE_DECODE_LIMITED_F16, PAIR_DECODE_LIMITED_F16],
            Self::Fp8DecodeBf16 => &[DENSE_FP8_DECODE_BF16, FP8_MATH_DECODE_BF16],
            Self::Fp8DecodeF16 => &[DENSE_FP8_DECODE_F16, FP8_MATH_DECODE_F16],
            Self::Fp8DecodeLimitedBf16 => {
                &[DENSE_FP8_DECODE_LIMITED_BF16, FP8_MATH_DECODE_LIMITED_BF16]
            }
            Self::Fp8DecodeLimitedF16 => {
                &[DENSE_FP8_DECODE_LIMITED_F16, FP8_MATH_DECODE_LIMITED_F16]
            }
            Self::SparseDecode => &[SPARSE_DECODE_576_BF16, SPARSE_DECODE_512_BF16],
            Self::Fp8SparseDecode => &[SPARSE_FP8_656_DECODE_BF16, SPARSE_FP8_584_DECODE_BF16],
            Self::SparsePrefill => &[SPARSE_PREFILL_576_BF16, SPARSE_PREFILL_512_BF16],
            Self::Gemm => &GEMM,
            Self::Rows => &[APPEND_BF16, APPEND_F16, GATHER, COPY_BLOCKS, NORM_BF16, NORM_F16],
            Self::Fp8Rows => &[
                APPEND_FP8_656_BF16,
                APPEND_FP8_656_F16,
                APPEND_FP8_584_BF16,
                APPEND_FP8_584_F16,
                GATHER_FP8_656_BF16,
                GATHER_FP8_656_F16,
                GATHER_FP8_584_BF16,
                GATHER_FP8_584_F16,
                APPEND_FP8_644_BF16,
                APPEND_FP8_644_F16,
                GATHER_FP8_644_BF16,
                GATHER_FP8_644_F16,
            ],
        }
    }

    /// The family that does over an FP8 cache what this one does over one of elements.
    #[must_use]
    pub const fn over_fp8(self) -> Option<Self> {
        match self {
            Self::DecodeBf16 => Some(Self::Fp8DecodeBf16),
            Self::DecodeF16 => Some(Self::Fp8DecodeF16),
            Self::DecodeLimitedBf16 => Some(Self::Fp8DecodeLimitedBf16),
            Self::DecodeLimitedF16 => Some(Self::Fp8DecodeLimitedF16),
            Self::SparseDecode => Some(Self::Fp8SparseDecode),
            Self::Rows => Some(Self::Fp8Rows),
            _ => None,
        }
    }
}

const GEMM: [Kernel; GEMM_BF16.len() + GEMM_F16.len()] = {
    let ([a, b, c, d, e], [f, g, h, i, j]) = (GEMM_BF16, GEMM_F16);
    [a, b, c, d, e, f, g, h, i, j]
};

#[cfg(test)]
mod tests {
    use super::*;

    /// `Family as usize` is its place in lists of all.
    #[test]
    fn families_stand_in_their_order() {
        for (place, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(family as usize, place, "{}", family.name());
        }
    }

    #[test]
    fn no_kernel_is_listed_twice() {
        let all = || Family::ALL.iter().flat_map(|family| family.kernels());
        for kernel in all() {
            let count = all().filter(|other| other.name == kernel.name).count();
            assert_eq!(count, 1, "{}", kernel.name);
        }
    }
}
