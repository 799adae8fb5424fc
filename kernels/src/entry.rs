//! The entry points of the PTX module, and nothing else. `launch::KERNELS` lists them with their geometry.
//!
//! Names of entry points are part of the ABI. Tensor maps are passed by value: rustc sees them as unused,
//! the kernels read them through the address of the parameter.

use crate::abi::DenseDecodeParams;
use crate::cache::abi::{AppendParams, CopyBlocksParams, GatherParams};
use crate::cache::fp8::{self, Paged584, Token656};
use crate::cache::{append, copy, gather as rows};
use crate::decode::dense;
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
    unsafe { dense::run::<Bf16>(q, kv, &params) }
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
    unsafe { dense::run::<F16>(q, kv, &params) }
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
