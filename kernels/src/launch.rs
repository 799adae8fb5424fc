//! Launch geometry of every entry point: what `xtask ptx` writes into the PTX (rustc cannot express
//! launch bounds) and what the host passes to the driver. One table, so that the two never disagree.

use crate::cache::{self, copy};
use crate::decode::{dense, dense_fp8, fp8_math, pair, sparse, sparse_fp8};
use crate::{gemm, norm};

/// What a kernel needs from its launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Name of the entry point in its PTX module.
    pub name: &'static str,
    /// Threads per CTA; becomes `.maxntid` so that ptxas may use every register the CTA leaves free.
    pub threads: u32,
    /// CTAs that must fit on one SM; becomes `.minnctapersm`.
    pub ctas_per_sm: u32,
    /// CTAs per cluster along x; more than 1 becomes `.reqnctapercluster`.
    pub cluster: u32,
    /// Number of leading parameters that are tensor maps passed by value; each becomes `.align 64`.
    pub tensor_maps: u32,
    /// Dynamic shared memory per CTA, in bytes.
    pub shared_bytes: u32,
}

const fn dense(name: &'static str) -> Kernel {
    Kernel {
        name,
        threads: dense::config::THREADS,
        ctas_per_sm: 1,
        cluster: 1,
        tensor_maps: 2,
        shared_bytes: dense::config::SHARED_BYTES,
    }
}

const fn dense_fp8(name: &'static str) -> Kernel {
    Kernel { tensor_maps: 4, shared_bytes: dense_fp8::config::SHARED_BYTES, ..dense(name) }
}

const fn fp8_math(name: &'static str) -> Kernel {
    Kernel { tensor_maps: 4, shared_bytes: fp8_math::config::SHARED_BYTES, ..dense(name) }
}

const fn pair(name: &'static str) -> Kernel {
    Kernel { cluster: pair::config::CTAS, shared_bytes: pair::config::SHARED_BYTES, ..dense(name) }
}

const fn sparse(name: &'static str) -> Kernel {
    Kernel { tensor_maps: 1, shared_bytes: sparse::config::SHARED_BYTES, ..dense(name) }
}

const fn sparse_fp8(name: &'static str) -> Kernel {
    Kernel { shared_bytes: sparse_fp8::config::SHARED_BYTES, ..sparse(name) }
}

const fn gemm(name: &'static str, cluster: u32) -> Kernel {
    Kernel {
        name,
        threads: gemm::config::THREADS,
        ctas_per_sm: 1,
        cluster,
        tensor_maps: 3,
        shared_bytes: gemm::config::SHARED_BYTES,
    }
}

/// A kernel that loads and stores by address.
const fn plain(name: &'static str, threads: u32, ctas_per_sm: u32) -> Kernel {
    Kernel { name, threads, ctas_per_sm, cluster: 1, tensor_maps: 0, shared_bytes: 0 }
}

/// Dense decode over a bf16 cache.
pub const DENSE_DECODE_BF16: Kernel = dense("dense_decode_bf16");
/// Dense decode over an f16 cache.
pub const DENSE_DECODE_F16: Kernel = dense("dense_decode_f16");
/// Dense decode over an FP8 cache of 656 bytes a token, bf16.
pub const DENSE_FP8_DECODE_BF16: Kernel = dense_fp8("dense_fp8_decode_bf16");
/// Dense decode over an FP8 cache of 656 bytes a token, f16.
pub const DENSE_FP8_DECODE_F16: Kernel = dense_fp8("dense_fp8_decode_f16");
/// Dense decode with FP8 math, bf16 queries.
pub const FP8_MATH_DECODE_BF16: Kernel = fp8_math("fp8_math_decode_bf16");
/// Dense decode with FP8 math, f16 queries.
pub const FP8_MATH_DECODE_F16: Kernel = fp8_math("fp8_math_decode_f16");
/// Dense decode with FP8 math, windows and a soft cap, bf16 queries.
pub const FP8_MATH_DECODE_LIMITED_BF16: Kernel = fp8_math("fp8_math_decode_limited_bf16");
/// Dense decode with FP8 math, windows and a soft cap, f16 queries.
pub const FP8_MATH_DECODE_LIMITED_F16: Kernel = fp8_math("fp8_math_decode_limited_f16");
/// Dense decode by pairs of CTAs over a bf16 cache.
pub const PAIR_DECODE_BF16: Kernel = pair("pair_decode_bf16");
/// Dense decode by pairs of CTAs over an f16 cache.
pub const PAIR_DECODE_F16: Kernel = pair("pair_decode_f16");
/// Sparse decode over a bf16 cache, queries of 576 dimensions.
pub const SPARSE_DECODE_576_BF16: Kernel = sparse("sparse_decode_576_bf16");
/// Sparse decode over a bf16 cache, queries of 512 dimensions.
pub const SPARSE_DECODE_512_BF16: Kernel = sparse("sparse_decode_512_bf16");
/// Sparse decode over an FP8 cache of 656 bytes a token.
pub const SPARSE_FP8_656_DECODE_BF16: Kernel = sparse_fp8("sparse_fp8_656_decode_bf16");
/// Sparse decode over an FP8 cache of 584 bytes a token.
pub const SPARSE_FP8_584_DECODE_BF16: Kernel = sparse_fp8("sparse_fp8_584_decode_bf16");
/// Sparse prefill over a bf16 cache, queries of 576 dimensions.
pub const SPARSE_PREFILL_576_BF16: Kernel = sparse("sparse_prefill_576_bf16");
/// Sparse prefill over a bf16 cache, queries of 512 dimensions.
pub const SPARSE_PREFILL_512_BF16: Kernel = sparse("sparse_prefill_512_bf16");
/// Dense decode with windows and a soft cap over a bf16 cache.
pub const DENSE_DECODE_LIMITED_BF16: Kernel = dense("dense_decode_limited_bf16");
/// Dense decode with windows and a soft cap over an f16 cache.
pub const DENSE_DECODE_LIMITED_F16: Kernel = dense("dense_decode_limited_f16");
/// Dense decode with windows and a soft cap over an FP8 cache of 656 bytes a token, bf16.
pub const DENSE_FP8_DECODE_LIMITED_BF16: Kernel = dense_fp8("dense_fp8_decode_limited_bf16");
/// Dense decode with windows and a soft cap over an FP8 cache of 656 bytes a token, f16.
pub const DENSE_FP8_DECODE_LIMITED_F16: Kernel = dense_fp8("dense_fp8_decode_limited_f16");
/// Dense decode with windows and a soft cap by pairs of CTAs over a bf16 cache.
pub const PAIR_DECODE_LIMITED_BF16: Kernel = pair("pair_decode_limited_bf16");
/// Dense decode with windows and a soft cap by pairs of CTAs over an f16 cache.
pub const PAIR_DECODE_LIMITED_F16: Kernel = pair("pair_decode_limited_f16");
/// New tokens into a bf16 cache.
pub const APPEND_BF16: Kernel = plain("append_bf16", cache::THREADS, cache::CTAS_PER_SM);
/// New tokens into an f16 cache.
pub const APPEND_F16: Kernel = plain("append_f16", cache::THREADS, cache::CTAS_PER_SM);
/// Cached tokens as contiguous rows.
pub const GATHER: Kernel = plain("gather", cache::THREADS, cache::CTAS_PER_SM);
/// Copies of whole blocks.
pub const COPY_BLOCKS: Kernel = plain("copy_blocks", copy::THREADS, copy::CTAS_PER_SM);
/// New tokens, bf16, into an FP8 cache of 656 bytes a token.
pub const APPEND_FP8_656_BF16: Kernel =
    plain("append_fp8_656_bf16", cache::THREADS, cache::CTAS_PER_SM);
/// New tokens, f16, into an FP8 cache of 656 bytes a token.
pub const APPEND_FP8_656_F16: Kernel =
    plain("append_fp8_656_f16", cache::THREADS, cache::CTAS_PER_SM);
/// New tokens, bf16, into an FP8 cache of 584 bytes a token.
pub const APPEND_FP8_584_BF16: Kernel =
    plain("append_fp8_584_bf16", cache::THREADS, cache::CTAS_PER_SM);
/// New tokens, f16, into an FP8 cache of 584 bytes a token.
pub const APPEND_FP8_584_F16: Kernel =
    plain("append_fp8_584_f16", cache::THREADS, cache::CTAS_PER_SM);
/// Tokens of an FP8 cache of 656 bytes a token as contiguous rows, bf16.
pub const GATHER_FP8_656_BF16: Kernel =
    plain("gather_fp8_656_bf16", cache::THREADS, cache::CTAS_PER_SM);
/// Tokens of an FP8 cache of 656 bytes a token as contiguous rows, f16.
pub const GATHER_FP8_656_F16: Kernel =
    plain("gather_fp8_656_f16", cache::THREADS, cache::CTAS_PER_SM);
/// Tokens of an FP8 cache of 584 bytes a token as contiguous rows, bf16.
pub const GATHER_FP8_584_BF16: Kernel =
    plain("gather_fp8_584_bf16", cache::THREADS, cache::CTAS_PER_SM);
/// Tokens of an FP8 cache of 584 bytes a token as contiguous rows, f16.
pub const GATHER_FP8_584_F16: Kernel =
    plain("gather_fp8_584_f16", cache::THREADS, cache::CTAS_PER_SM);
/// New tokens, bf16, into an FP8 cache of 644 bytes a token.
pub const APPEND_FP8_644_BF16: Kernel =
    plain("append_fp8_644_bf16", cache::THREADS, cache::CTAS_PER_SM);
/// New tokens, f16, into an FP8 cache of 644 bytes a token.
pub const APPEND_FP8_644_F16: Kernel =
    plain("append_fp8_644_f16", cache::THREADS, cache::CTAS_PER_SM);
/// Tokens of an FP8 cache of 644 bytes a token as contiguous rows, bf16.
pub const GATHER_FP8_644_BF16: Kernel =
    plain("gather_fp8_644_bf16", cache::THREADS, cache::CTAS_PER_SM);
/// Tokens of an FP8 cache of 644 bytes a token as contiguous rows, f16.
pub const GATHER_FP8_644_F16: Kernel =
    plain("gather_fp8_644_f16", cache::THREADS, cache::CTAS_PER_SM);
/// Rows of bf16 normalised.
pub const NORM_BF16: Kernel = plain("norm_bf16", norm::THREADS, norm::CTAS_PER_SM);
/// Rows of f16 normalised.
pub const NORM_F16: Kernel = plain("norm_f16", norm::THREADS, norm::CTAS_PER_SM);
/// Matrix products of bf16, as `gemm::tiling::WIDTHS` lists their tiles.
pub const GEMM_BF16: [Kernel; 5] = [
    gemm("gemm_64_bf16", 1),
    gemm("gemm_128_bf16", 1),
    gemm("gemm_256_bf16", 1),
    gemm("gemm_pair_192_bf16", 2),
    gemm("gemm_pair_256_bf16", 2),
];
/// Matrix products of f16, as `gemm::tiling::WIDTHS` lists their tiles.
pub const GEMM_F16: [Kernel; 5] = [
    gemm("gemm_64_f16", 1),
    gemm("gemm_128_f16", 1),
    gemm("gemm_256_f16", 1),
    gemm("gemm_pair_192_f16", 2),
    gemm("gemm_pair_256_f16", 2),
];
