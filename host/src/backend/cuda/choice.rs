//! Which kernel a call launches.

use oxmla_kernels::cache::fp8::Fp8Format;
use oxmla_kernels::decode::Variant;
use oxmla_kernels::family::Family;
use oxmla_kernels::gemm::tiling::Tiling;
use oxmla_kernels::launch::{
    APPEND_BF16, APPEND_F16, APPEND_FP8_584_BF16, APPEND_FP8_584_F16, APPEND_FP8_644_BF16,
    APPEND_FP8_644_F16, APPEND_FP8_656_BF16, APPEND_FP8_656_F16, COPY_BLOCKS as COPY,
    DENSE_DECODE_BF16, DENSE_DECODE_F16, DENSE_DECODE_LIMITED_BF16, DENSE_DECODE_LIMITED_F16,
    DENSE_FP8_DECODE_BF16, DENSE_FP8_DECODE_F16, DENSE_FP8_DECODE_LIMITED_BF16,
    DENSE_FP8_DECODE_LIMITED_F16, FP8_MATH_DECODE_BF16, FP8_MATH_DECODE_F16,
    FP8_MATH_DECODE_LIMITED_BF16, FP8_MATH_DECODE_LIMITED_F16, GATHER as GATHER_ELEMENTS,
    GATHER_FP8_584_BF16, GATHER_FP8_584_F16, GATHER_FP8_644_BF16, GATHER_FP8_644_F16,
    GATHER_FP8_656_BF16, GATHER_FP8_656_F16, GEMM_BF16, GEMM_F16, Kernel, NORM_BF16, NORM_F16,
    PAIR_DECODE_BF16, PAIR_DECODE_F16, PAIR_DECODE_LIMITED_BF16, PAIR_DECODE_LIMITED_F16,
    SPARSE_DECODE_512_BF16, SPARSE_DECODE_576_BF16, SPARSE_FP8_584_DECODE_BF16,
    SPARSE_FP8_656_DECODE_BF16, SPARSE_PREFILL_512_BF16, SPARSE_PREFILL_576_BF16,
};

use super::sparse::SparseKernel;
use crate::cache::CacheFormat;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// A kernel, and the family that it is loaded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub family: Family,
    pub kernel: &'static Kernel,
}

/// What copies blocks.
pub(super) const COPY_BLOCKS: Choice = Choice { family: Family::Rows, kernel: &COPY };

/// What attends over a cache of elements of type `dtype`; `limited` if there is a window or a soft cap.
pub(super) const fn decode(variant: Variant, limited: bool, dtype: DType) -> Result<Choice> {
    let (family, dense, pair) = match (limited, dtype) {
        (false, DType::Bf16) => (Family::DecodeBf16, &DENSE_DECODE_BF16, &PAIR_DECODE_BF16),
        (false, DType::F16) => (Family::DecodeF16, &DENSE_DECODE_F16, &PAIR_DECODE_F16),
        (true, DType::Bf16) => {
            (Family::DecodeLimitedBf16, &DENSE_DECODE_LIMITED_BF16, &PAIR_DECODE_LIMITED_BF16)
        }
        (true, DType::F16) => {
            (Family::DecodeLimitedF16, &DENSE_DECODE_LIMITED_F16, &PAIR_DECODE_LIMITED_F16)
        }
        (_, got) => return Err(Error::UnsupportedDType { arg: "kv_cache", got }),
    };
    let kernel = match variant {
        Variant::Dense => dense,
        Variant::Pair => pair,
    };
    Ok(Choice { family, kernel })
}

/// What attends over an FP8 cache, for queries of type `dtype`; `limited` if there is a window or a soft cap.
pub(super) const fn decode_fp8(format: Fp8Format, limited: bool, dtype: DType) -> Result<Choice> {
    let (family, dequantised, math) = match (limited, dtype) {
        (false, DType::Bf16) => {
            (Family::Fp8DecodeBf16, &DENSE_FP8_DECODE_BF16, &FP8_MATH_DECODE_BF16)
        }
        (false, DType::F16) => (Family::Fp8DecodeF16, &DENSE_FP8_DECODE_F16, &FP8_MATH_DECODE_F16),
        (true, DType::Bf16) => (
            Family::Fp8DecodeLimitedBf16,
            &DENSE_FP8_DECODE_LIMITED_BF16,
            &FP8_MATH_DECODE_LIMITED_BF16,
        ),
        (true, DType::F16) => (
            Family::Fp8DecodeLimitedF16,
            &DENSE_FP8_DECODE_LIMITED_F16,
            &FP8_MATH_DECODE_LIMITED_F16,
        ),
        (_, got) => return Err(Error::UnsupportedDType { arg: "q", got }),
    };
    let kernel = match format {
        Fp8Format::Planar644 => math,
        Fp8Format::Token656 | Fp8Format::Paged584 => dequantised,
    };
    Ok(Choice { family, kernel })
}

/// What attends to lists of tokens, for queries of `d_qk` dimensions, 576 or 512, which an FP8 cache of 656 or 584 bytes a
/// token is for.
pub(super) const fn sparse(kernel: SparseKernel, d_qk: usize) -> Choice {
    let (family, of_576, of_512) = match kernel {
        SparseKernel::Decode => {
            (Family::SparseDecode, &SPARSE_DECODE_576_BF16, &SPARSE_DECODE_512_BF16)
        }
        SparseKernel::DecodeFp8 => {
            (Family::Fp8SparseDecode, &SPARSE_FP8_656_DECODE_BF16, &SPARSE_FP8_584_DECODE_BF16)
        }
        SparseKernel::Prefill => {
            (Family::SparsePrefill, &SPARSE_PREFILL_576_BF16, &SPARSE_PREFILL_512_BF16)
        }
    };
    Choice { family, kernel: if d_qk == 512 { of_512 } else { of_576 } }
}

/// What multiplies matrices of elements of type `dtype` as `tiling` says.
pub(super) fn gemm(dtype: DType, tiling: &Tiling) -> Result<Choice> {
    let kernels = match dtype {
        DType::Bf16 => &GEMM_BF16,
        DType::F16 => &GEMM_F16,
        got => return Err(Error::UnsupportedDType { arg: "x", got }),
    };
    Ok(Choice { family: Family::Gemm, kernel: &kernels[tiling.kernel()] })
}

/// What normalises rows of elements of type `dtype`.
pub(super) const fn norm(dtype: DType) -> Result<Choice> {
    per_type(Family::Rows, "x", dtype, [&NORM_BF16, &NORM_F16])
}

/// What appends rows of type `rows` to a cache.
pub(super) const fn append(format: CacheFormat, rows: DType) -> Result<Choice> {
    let (family, kernels) = match format {
        CacheFormat::Elements(_) => (Family::Rows, [&APPEND_BF16, &APPEND_F16]),
        CacheFormat::Fp8(Fp8Format::Token656) => {
            (Family::Fp8Rows, [&APPEND_FP8_656_BF16, &APPEND_FP8_656_F16])
        }
        CacheFormat::Fp8(Fp8Format::Paged584) => {
            (Family::Fp8Rows, [&APPEND_FP8_584_BF16, &APPEND_FP8_584_F16])
        }
        CacheFormat::Fp8(Fp8Format::Planar644) => {
            (Family::Fp8Rows, [&APPEND_FP8_644_BF16, &APPEND_FP8_644_F16])
        }
    };
    per_type(family, "latent", rows, kernels)
}

/// What gathers cached tokens as rows of type `rows`.
pub(super) const fn gather(format: CacheFormat, rows: DType) -> Result<Choice> {
    let kernels = match format {
        CacheFormat::Elements(_) => {
            return Ok(Choice { family: Family::Rows, kernel: &GATHER_ELEMENTS });
        }
        CacheFormat::Fp8(Fp8Format::Token656) => [&GATHER_FP8_656_BF16, &GATHER_FP8_656_F16],
        CacheFormat::Fp8(Fp8Format::Paged584) => [&GATHER_FP8_584_BF16, &GATHER_FP8_584_F16],
        CacheFormat::Fp8(Fp8Format::Planar644) => [&GATHER_FP8_644_BF16, &GATHER_FP8_644_F16],
    };
    per_type(Family::Fp8Rows, "out", rows, kernels)
}

/// The kernel for bf16, or the one for f16.
const fn per_type(
    family: Family,
    arg: &'static str,
    dtype: DType,
    [bf16, f16]: [&'static Kernel; 2],
) -> Result<Choice> {
    let kernel = match dtype {
        DType::Bf16 => bf16,
        DType::F16 => f16,
        got => return Err(Error::UnsupportedDType { arg, got }),
    };
    Ok(Choice { family, kernel })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kernel of the table can be chosen, and is of the family that it is said to be of.
    #[test]
    fn choices_are_in_their_families() -> Result<()> {
        let types = [DType::Bf16, DType::F16];
        let fp8 = [Fp8Format::Token656, Fp8Format::Paged584, Fp8Format::Planar644];
        let formats = fp8.map(CacheFormat::Fp8);
        let mut choices = vec![COPY_BLOCKS];
        for dtype in types {
            choices.push(norm(dtype)?);
            for limited in [false, true] {
                choices.push(decode(Variant::Dense, limited, dtype)?);
                choices.push(decode(Variant::Pair, limited, dtype)?);
                for format in fp8 {
                    choices.push(decode_fp8(format, limited, dtype)?);
                }
            }
            for format in formats.into_iter().chain([CacheFormat::Elements(dtype)]) {
                choices.extend([append(format, dtype)?, gather(format, dtype)?]);
            }
            let kernels = if dtype == DType::Bf16 { &GEMM_BF16 } else { &GEMM_F16 };
            choices.extend(kernels.iter().map(|kernel| Choice { family: Family::Gemm, kernel }));
        }
        for kernel in [SparseKernel::Decode, SparseKernel::DecodeFp8, SparseKernel::Prefill] {
            choices.extend([512, 576].map(|d_qk| sparse(kernel, d_qk)));
        }
        for Choice { family, kernel } in &choices {
            assert!(family.kernels().contains(kernel), "{} in {}", kernel.name, family.name());
        }
        let all = Family::ALL.iter().flat_map(|family| family.kernels());
        for kernel in all {
            assert!(choices.iter().any(|choice| choice.kernel == kernel), "{}", kernel.name);
        }
        Ok(())
    }
}
