//! Attention to tokens that lists name.

use crate::cache::fp8::{Paged584, Token656};
use crate::decode::sparse::abi::SparseParams;
use crate::decode::sparse::{Decode, Prefill};
use crate::decode::{sparse, sparse_fp8};
use crate::ptx::tma::{TensorMap, tensor_map_parameter};
use crate::tile::element::Bf16;

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
