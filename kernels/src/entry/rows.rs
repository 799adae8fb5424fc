//! Rows into a cache and out of it, copies of blocks, rows normalised.

use crate::cache::abi::{AppendParams, CopyBlocksParams, GatherParams};
use crate::cache::fp8::{self, Paged584, Planar644, Token656};
use crate::cache::{append, copy, gather as rows};
use crate::norm;
use crate::norm::abi::NormParams;
use crate::tile::element::{Bf16, F16};

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
