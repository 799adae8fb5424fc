//! The entry points, and nothing else. `launch` has their geometry, `family` the PTX modules that they are in.
//!
//! Names of entry points are part of the ABI. Tensor maps are passed by value: rustc sees them as unused,
//! the kernels read them through the address of the parameter.

use crate::abi::DenseDecodeParams;
use crate::attention::limits::{Limited, Plain};
use crate::cache::abi::{AppendParams, CopyBlocksParams, GatherParams};
use crate::cache::fp8::{self, Paged584, Planar644, Token656};
use crate::cache::{append, copy, gather as rows};
use crate::decode::dense_fp8::Codes;
use crate::decode::fp8_math::Planes;
use crate::decode::sparse::abi::SparseParams;
use crate::decode::sparse::{Decode, Prefill};
use crate::decode::{dense, dense_fp8, fp8_math, pair, sparse, sparse_fp8};
use crate::gemm::abi::GemmParams;
use crate::gemm::{self, Maps, N64, N128, N256, Pair192, Pair256};
use crate::norm;
use crate::norm::abi::NormParams;
use crate::ptx::tma::{TensorMap, tensor_map_parameter};
use crate::tile::element::{Bf16, F16};

/// Dense decode, bf16. Grid (tiles, parts).
///
/// # Safety
/// The launch follows `launch::DENSE_DECODE_BF16`; `q` and `kv` are encoded as `decode::dense::config` says;
/// every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn dense_decode_bf16(
    _q: TensorMap,
    _kv: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("dense_decode_bf16_param_0");
    let kv = tensor_map_parameter!("dense_decode_bf16_param_1");
    // SAFETY: the launcher's promise.
    unsafe { dense::run::<Bf16, Plain>(q, kv, &params) }
}

/// Dense decode, f16. Grid (tiles, parts).
///
/// # Safety
/// As for [`dense_decode_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn dense_decode_f16(
    _q: TensorMap,
    _kv: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("dense_decode_f16_param_0");
    let kv = tensor_map_parameter!("dense_decode_f16_param_1");
    // SAFETY: the launcher's promise.
    unsafe { dense::run::<F16, Plain>(q, kv, &params) }
}

/// Dense decode over an FP8 cache of 656 bytes a token, bf16. Grid (tiles, parts).
///
/// # Safety
/// The launch follows `launch::DENSE_FP8_DECODE_BF16`; the maps are encoded as `decode::dense_fp8::config` says; else as
/// for [`dense_decode_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn dense_fp8_decode_bf16(
    _q: TensorMap,
    _codes: TensorMap,
    _scales: TensorMap,
    _rope: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("dense_fp8_decode_bf16_param_0");
    let kv = Codes {
        codes: tensor_map_parameter!("dense_fp8_decode_bf16_param_1"),
        scales: tensor_map_parameter!("dense_fp8_decode_bf16_param_2"),
        rope: tensor_map_parameter!("dense_fp8_decode_bf16_param_3"),
    };
    // SAFETY: the launcher's promise.
    unsafe { dense_fp8::run::<Bf16, Plain>(q, kv, &params) }
}

/// Dense decode with windows and a soft cap over an FP8 cache of 656 bytes a token, bf16. Grid (tiles, parts).
///
/// # Safety
/// The launch follows `launch::DENSE_FP8_DECODE_LIMITED_BF16`; else as for [`dense_fp8_decode_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn dense_fp8_decode_limited_bf16(
    _q: TensorMap,
    _codes: TensorMap,
    _scales: TensorMap,
    _rope: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("dense_fp8_decode_limited_bf16_param_0");
    let kv = Codes {
        codes: tensor_map_parameter!("dense_fp8_decode_limited_bf16_param_1"),
        scales: tensor_map_parameter!("dense_fp8_decode_limited_bf16_param_2"),
        rope: tensor_map_parameter!("dense_fp8_decode_limited_bf16_param_3"),
    };
    // SAFETY: the launcher's promise.
    unsafe { dense_fp8::run::<Bf16, Limited>(q, kv, &params) }
}

/// Dense decode over an FP8 cache of 656 bytes a token, f16. Grid (tiles, parts).
///
/// # Safety
/// As for [`dense_fp8_decode_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn dense_fp8_decode_f16(
    _q: TensorMap,
    _codes: TensorMap,
    _scales: TensorMap,
    _rope: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("dense_fp8_decode_f16_param_0");
    let kv = Codes {
        codes: tensor_map_parameter!("dense_fp8_decode_f16_param_1"),
        scales: tensor_map_parameter!("dense_fp8_decode_f16_param_2"),
        rope: tensor_map_parameter!("dense_fp8_decode_f16_param_3"),
    };
    // SAFETY: the launcher's promise.
    unsafe { dense_fp8::run::<F16, Plain>(q, kv, &params) }
}

/// Dense decode with windows and a soft cap over an FP8 cache of 656 bytes a token, f16. Grid (tiles, parts).
///
/// # Safety
/// As for [`dense_fp8_decode_limited_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn dense_fp8_decode_limited_f16(
    _q: TensorMap,
    _codes: TensorMap,
    _scales: TensorMap,
    _rope: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("dense_fp8_decode_limited_f16_param_0");
    let kv = Codes {
        codes: tensor_map_parameter!("dense_fp8_decode_limited_f16_param_1"),
        scales: tensor_map_parameter!("dense_fp8_decode_limited_f16_param_2"),
        rope: tensor_map_parameter!("dense_fp8_decode_limited_f16_param_3"),
    };
    // SAFETY: the launcher's promise.
    unsafe { dense_fp8::run::<F16, Limited>(q, kv, &params) }
}

/// Dense decode with FP8 math, bf16 queries. Grid (tiles, parts).
///
/// # Safety
/// The launch follows `launch::FP8_MATH_DECODE_BF16`; the maps are encoded as `decode::fp8_math::config` says; else as for
/// [`dense_decode_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn fp8_math_decode_bf16(
    _q: TensorMap,
    _codes: TensorMap,
    _rope: TensorMap,
    _scales: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("fp8_math_decode_bf16_param_0");
    let kv = Planes {
        codes: tensor_map_parameter!("fp8_math_decode_bf16_param_1"),
        rope: tensor_map_parameter!("fp8_math_decode_bf16_param_2"),
        scales: tensor_map_parameter!("fp8_math_decode_bf16_param_3"),
    };
    // SAFETY: the launcher's promise.
    unsafe { fp8_math::run::<Bf16, Plain>(q, kv, &params) }
}

/// Dense decode with FP8 math, f16 queries. Grid (tiles, parts).
///
/// # Safety
/// As for [`fp8_math_decode_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn fp8_math_decode_f16(
    _q: TensorMap,
    _codes: TensorMap,
    _rope: TensorMap,
    _scales: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("fp8_math_decode_f16_param_0");
    let kv = Planes {
        codes: tensor_map_parameter!("fp8_math_decode_f16_param_1"),
        rope: tensor_map_parameter!("fp8_math_decode_f16_param_2"),
        scales: tensor_map_parameter!("fp8_math_decode_f16_param_3"),
    };
    // SAFETY: the launcher's promise.
    unsafe { fp8_math::run::<F16, Plain>(q, kv, &params) }
}

/// Dense decode with FP8 math, windows and a soft cap, bf16 queries. Grid (tiles, parts).
///
/// # Safety
/// As for [`fp8_math_decode_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn fp8_math_decode_limited_bf16(
    _q: TensorMap,
    _codes: TensorMap,
    _rope: TensorMap,
    _scales: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("fp8_math_decode_limited_bf16_param_0");
    let kv = Planes {
        codes: tensor_map_parameter!("fp8_math_decode_limited_bf16_param_1"),
        rope: tensor_map_parameter!("fp8_math_decode_limited_bf16_param_2"),
        scales: tensor_map_parameter!("fp8_math_decode_limited_bf16_param_3"),
    };
    // SAFETY: the launcher's promise.
    unsafe { fp8_math::run::<Bf16, Limited>(q, kv, &params) }
}

/// Dense decode with FP8 math, windows and a soft cap, f16 queries. Grid (tiles, parts).
///
/// # Safety
/// As for [`fp8_math_decode_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn fp8_math_decode_limited_f16(
    _q: TensorMap,
    _codes: TensorMap,
    _rope: TensorMap,
    _scales: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("fp8_math_decode_limited_f16_param_0");
    let kv = Planes {
        codes: tensor_map_parameter!("fp8_math_decode_limited_f16_param_1"),
        rope: tensor_map_parameter!("fp8_math_decode_limited_f16_param_2"),
        scales: tensor_map_parameter!("fp8_math_decode_limited_f16_param_3"),
    };
    // SAFETY: the launcher's promise.
    unsafe { fp8_math::run::<F16, Limited>(q, kv, &params) }
}

/// Dense decode by pairs of CTAs, bf16. Grid (tiles, parts), an even number of tiles for each list of rows.
///
/// # Safety
/// The launch follows `launch::PAIR_DECODE_BF16`; else as for [`dense_decode_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn pair_decode_bf16(
    _q: TensorMap,
    _kv: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("pair_decode_bf16_param_0");
    let kv = tensor_map_parameter!("pair_decode_bf16_param_1");
    // SAFETY: the launcher's promise.
    unsafe { pair::run::<Bf16, Plain>(q, kv, &params) }
}

/// Dense decode by pairs of CTAs, f16. Grid (tiles, parts), an even number of tiles for each list of rows.
///
/// # Safety
/// As for [`pair_decode_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn pair_decode_f16(
    _q: TensorMap,
    _kv: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("pair_decode_f16_param_0");
    let kv = tensor_map_parameter!("pair_decode_f16_param_1");
    // SAFETY: the launcher's promise.
    unsafe { pair::run::<F16, Plain>(q, kv, &params) }
}

/// Dense decode with windows and a soft cap, bf16. Grid (tiles, parts).
///
/// # Safety
/// The launch follows `launch::DENSE_DECODE_LIMITED_BF16`; else as for [`dense_decode_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn dense_decode_limited_bf16(
    _q: TensorMap,
    _kv: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("dense_decode_limited_bf16_param_0");
    let kv = tensor_map_parameter!("dense_decode_limited_bf16_param_1");
    // SAFETY: the launcher's promise.
    unsafe { dense::run::<Bf16, Limited>(q, kv, &params) }
}

/// Dense decode with windows and a soft cap, f16. Grid (tiles, parts).
///
/// # Safety
/// As for [`dense_decode_limited_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn dense_decode_limited_f16(
    _q: TensorMap,
    _kv: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("dense_decode_limited_f16_param_0");
    let kv = tensor_map_parameter!("dense_decode_limited_f16_param_1");
    // SAFETY: the launcher's promise.
    unsafe { dense::run::<F16, Limited>(q, kv, &params) }
}

/// Dense decode with windows and a soft cap by pairs of CTAs, bf16. Grid (tiles, parts), an even number of tiles for
/// each list of rows.
///
/// # Safety
/// The launch follows `launch::PAIR_DECODE_LIMITED_BF16`; else as for [`dense_decode_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn pair_decode_limited_bf16(
    _q: TensorMap,
    _kv: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("pair_decode_limited_bf16_param_0");
    let kv = tensor_map_parameter!("pair_decode_limited_bf16_param_1");
    // SAFETY: the launcher's promise.
    unsafe { pair::run::<Bf16, Limited>(q, kv, &params) }
}

/// Dense decode with windows and a soft cap by pairs of CTAs, f16. Grid (tiles, parts), an even number of tiles for
/// each list of rows.
///
/// # Safety
/// As for [`pair_decode_limited_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn pair_decode_limited_f16(
    _q: TensorMap,
    _kv: TensorMap,
    params: DenseDecodeParams,
) {
    let q = tensor_map_parameter!("pair_decode_limited_f16_param_0");
    let kv = tensor_map_parameter!("pair_decode_limited_f16_param_1");
    // SAFETY: the launcher's promise.
    unsafe { pair::run::<F16, Limited>(q, kv, &params) }
}

/// Sparse decode, bf16, queries of 576 dimensions. Grid (tiles, parts).
///
/// # Safety
/// The launch follows `launch::SPARSE_DECODE_576_BF16`; `q` is encoded as `decode::sparse::config` says; every address in
/// `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn sparse_decode_576_bf16(_q: TensorMap, params: SparseParams) {
    let q = tensor_map_parameter!("sparse_decode_576_bf16_param_0");
    // SAFETY: the launcher's promise.
    unsafe { sparse::run::<Bf16, Decode, 576>(q, &params) }
}

/// Sparse decode, bf16, queries of 512 dimensions. Grid (tiles, parts).
///
/// # Safety
/// As for [`sparse_decode_576_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn sparse_decode_512_bf16(_q: TensorMap, params: SparseParams) {
    let q = tensor_map_parameter!("sparse_decode_512_bf16_param_0");
    // SAFETY: the launcher's promise.
    unsafe { sparse::run::<Bf16, Decode, 512>(q, &params) }
}

/// Sparse decode over an FP8 cache of 656 bytes a token, bf16. Grid (tiles, parts).
///
/// # Safety
/// The launch follows `launch::SPARSE_FP8_656_DECODE_BF16`; else as for [`sparse_decode_576_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn sparse_fp8_656_decode_bf16(_q: TensorMap, params: SparseParams) {
    let q = tensor_map_parameter!("sparse_fp8_656_decode_bf16_param_0");
    // SAFETY: the launcher's promise.
    unsafe { sparse_fp8::run::<Bf16, Token656, 576>(q, &params) }
}

/// Sparse decode over an FP8 cache of 584 bytes a token, bf16. Grid (tiles, parts).
///
/// # Safety
/// The launch follows `launch::SPARSE_FP8_584_DECODE_BF16`; else as for [`sparse_decode_512_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn sparse_fp8_584_decode_bf16(_q: TensorMap, params: SparseParams) {
    let q = tensor_map_parameter!("sparse_fp8_584_decode_bf16_param_0");
    // SAFETY: the launcher's promise.
    unsafe { sparse_fp8::run::<Bf16, Paged584, 512>(q, &params) }
}

/// Sparse prefill, bf16, queries of 576 dimensions. Grid (tiles, parts).
///
/// # Safety
/// As for [`sparse_decode_576_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn sparse_prefill_576_bf16(_q: TensorMap, params: SparseParams) {
    let q = tensor_map_parameter!("sparse_prefill_576_bf16_param_0");
    // SAFETY: the launcher's promise.
    unsafe { sparse::run::<Bf16, Prefill, 576>(q, &params) }
}

/// Sparse prefill, bf16, queries of 512 dimensions. Grid (tiles, parts).
///
/// # Safety
/// As for [`sparse_decode_576_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn sparse_prefill_512_bf16(_q: TensorMap, params: SparseParams) {
    let q = tensor_map_parameter!("sparse_prefill_512_bf16_param_0");
    // SAFETY: the launcher's promise.
    unsafe { sparse::run::<Bf16, Prefill, 512>(q, &params) }
}

/// New tokens into a bf16 cache. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::APPEND_BF16`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn append_bf16(params: AppendParams) {
    // SAFETY: the launcher's promise.
    unsafe { append::run::<Bf16>(&params) }
}

/// New tokens into an f16 cache. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// As for [`append_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn append_f16(params: AppendParams) {
    // SAFETY: the launcher's promise.
    unsafe { append::run::<F16>(&params) }
}

/// Cached tokens as contiguous rows. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::GATHER`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn gather(params: GatherParams) {
    // SAFETY: the launcher's promise.
    unsafe { rows::run(&params) }
}

/// Copies of whole blocks. Grid (copies, `copy::ctas_per_block`).
///
/// # Safety
/// The launch follows `launch::COPY_BLOCKS`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn copy_blocks(params: CopyBlocksParams) {
    // SAFETY: the launcher's promise.
    unsafe { copy::run(&params) }
}

/// New tokens, bf16, into an FP8 cache of 656 bytes a token. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::APPEND_FP8_656_BF16`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn append_fp8_656_bf16(params: AppendParams) {
    // SAFETY: the launcher's promise.
    unsafe { fp8::append::run::<Bf16, Token656>(&params) }
}

/// New tokens, f16, into an FP8 cache of 656 bytes a token. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::APPEND_FP8_656_F16`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn append_fp8_656_f16(params: AppendParams) {
    // SAFETY: the launcher's promise.
    unsafe { fp8::append::run::<F16, Token656>(&params) }
}

/// New tokens, bf16, into an FP8 cache of 584 bytes a token. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::APPEND_FP8_584_BF16`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn append_fp8_584_bf16(params: AppendParams) {
    // SAFETY: the launcher's promise.
    unsafe { fp8::append::run::<Bf16, Paged584>(&params) }
}

/// New tokens, f16, into an FP8 cache of 584 bytes a token. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::APPEND_FP8_584_F16`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn append_fp8_584_f16(params: AppendParams) {
    // SAFETY: the launcher's promise.
    unsafe { fp8::append::run::<F16, Paged584>(&params) }
}

/// Tokens of an FP8 cache of 656 bytes a token as contiguous rows, bf16. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::GATHER_FP8_656_BF16`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn gather_fp8_656_bf16(params: GatherParams) {
    // SAFETY: the launcher's promise.
    unsafe { fp8::gather::run::<Bf16, Token656>(&params) }
}

/// Tokens of an FP8 cache of 656 bytes a token as contiguous rows, f16. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::GATHER_FP8_656_F16`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn gather_fp8_656_f16(params: GatherParams) {
    // SAFETY: the launcher's promise.
    unsafe { fp8::gather::run::<F16, Token656>(&params) }
}

/// Tokens of an FP8 cache of 584 bytes a token as contiguous rows, bf16. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::GATHER_FP8_584_BF16`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn gather_fp8_584_bf16(params: GatherParams) {
    // SAFETY: the launcher's promise.
    unsafe { fp8::gather::run::<Bf16, Paged584>(&params) }
}

/// Tokens of an FP8 cache of 584 bytes a token as contiguous rows, f16. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::GATHER_FP8_584_F16`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn gather_fp8_584_f16(params: GatherParams) {
    // SAFETY: the launcher's promise.
    unsafe { fp8::gather::run::<F16, Paged584>(&params) }
}

/// New tokens, bf16, into an FP8 cache of 644 bytes a token, part by part. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::APPEND_FP8_644_BF16`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn append_fp8_644_bf16(params: AppendParams) {
    // SAFETY: the launcher's promise.
    unsafe { fp8::append::run::<Bf16, Planar644>(&params) }
}

/// New tokens, f16, into an FP8 cache of 644 bytes a token, part by part. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::APPEND_FP8_644_F16`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn append_fp8_644_f16(params: AppendParams) {
    // SAFETY: the launcher's promise.
    unsafe { fp8::append::run::<F16, Planar644>(&params) }
}

/// Tokens of an FP8 cache of 644 bytes a token as contiguous rows, bf16. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::GATHER_FP8_644_BF16`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn gather_fp8_644_bf16(params: GatherParams) {
    // SAFETY: the launcher's promise.
    unsafe { fp8::gather::run::<Bf16, Planar644>(&params) }
}

/// Tokens of an FP8 cache of 644 bytes a token as contiguous rows, f16. Grid (`cache::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::GATHER_FP8_644_F16`; every address in `params` is valid for the shapes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn gather_fp8_644_f16(params: GatherParams) {
    // SAFETY: the launcher's promise.
    unsafe { fp8::gather::run::<F16, Planar644>(&params) }
}

/// Rows of bf16 normalised. Grid (`norm::ctas(rows)`).
///
/// # Safety
/// The launch follows `launch::NORM_BF16`; every address in `params` is valid for the sizes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn norm_bf16(params: NormParams) {
    // SAFETY: the launcher's promise.
    unsafe { norm::run::<Bf16>(&params) }
}

/// Rows of f16 normalised. Grid (`norm::ctas(rows)`).
///
/// # Safety
/// As for [`norm_bf16`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn norm_f16(params: NormParams) {
    // SAFETY: the launcher's promise.
    unsafe { norm::run::<F16>(&params) }
}

macro_rules! gemm_kernels {
    ($($name:ident: $element:ty, $width:ty, $x:literal, $weight:literal, $y:literal;)*) => {
        $(
            /// Matrix products. Grid (`gemm::tiling::Tiling::ctas`).
            ///
            /// # Safety
            /// The launch follows `launch::GEMM_BF16` or `launch::GEMM_F16`, cooperatively if `params.splits` is not 1;
            /// the maps are encoded as `gemm::config` says; every address in `params` is valid for the sizes in it.
            #[unsafe(no_mangle)]
            pub unsafe extern "ptx-kernel" fn $name(
                _x: TensorMap,
                _weight: TensorMap,
                _y: TensorMap,
                params: GemmParams,
            ) {
                let maps = Maps {
                    x: tensor_map_parameter!($x),
                    weight: tensor_map_parameter!($weight),
                    y: tensor_map_parameter!($y),
                };
                // SAFETY: the launcher's promise.
                unsafe { gemm::run::<$element, $width>(maps, &params) }
            }
        )*
    };
}

gemm_kernels! {
    gemm_64_bf16: Bf16, N64, "gemm_64_bf16_param_0", "gemm_64_bf16_param_1", "gemm_64_bf16_param_2";
    gemm_128_bf16: Bf16, N128, "gemm_128_bf16_param_0", "gemm_128_bf16_param_1", "gemm_128_bf16_param_2";
    gemm_256_bf16: Bf16, N256, "gemm_256_bf16_param_0", "gemm_256_bf16_param_1", "gemm_256_bf16_param_2";
    gemm_pair_192_bf16: Bf16, Pair192, "gemm_pair_192_bf16_param_0", "gemm_pair_192_bf16_param_1", "gemm_pair_192_bf16_param_2";
    gemm_pair_256_bf16: Bf16, Pair256, "gemm_pair_256_bf16_param_0", "gemm_pair_256_bf16_param_1", "gemm_pair_256_bf16_param_2";
    gemm_64_f16: F16, N64, "gemm_64_f16_param_0", "gemm_64_f16_param_1", "gemm_64_f16_param_2";
    gemm_128_f16: F16, N128, "gemm_128_f16_param_0", "gemm_128_f16_param_1", "gemm_128_f16_param_2";
    gemm_256_f16: F16, N256, "gemm_256_f16_param_0", "gemm_256_f16_param_1", "gemm_256_f16_param_2";
    gemm_pair_192_f16: F16, Pair192, "gemm_pair_192_f16_param_0", "gemm_pair_192_f16_param_1", "gemm_pair_192_f16_param_2";
    gemm_pair_256_f16: F16, Pair256, "gemm_pair_256_f16_param_0", "gemm_pair_256_f16_param_1", "gemm_pair_256_f16_param_2";
}
