//! The entry points of `entry`, for a launch of the SIMT machine (`oxmla_simt::Launch`).
//!
//! Geometry comes from [`crate::launch`], as on the device. Tensor maps are addresses that
//! `oxmla_simt::Memory::tensor_map` gave out, of the maps that [`crate::decode::dense::config`] describes.

use crate::abi::DenseDecodeParams;
use crate::cache::abi::{AppendParams, CopyBlocksParams, GatherParams};
use crate::cache::fp8::{self, Paged584, Token656};
use crate::cache::{append, copy, gather as rows};
use crate::decode::dense;
use crate::ptx::tma::TensorMapAddress;
use crate::tile::element::{Bf16, F16};

/// `dense_decode_bf16`. Grid (tiles, parts).
pub fn dense_decode_bf16(q: u64, kv: u64, params: &DenseDecodeParams) {
    // SAFETY: the machine checks every access.
    unsafe { dense::run::<Bf16>(TensorMapAddress(q), TensorMapAddress(kv), params) }
}

/// `dense_decode_f16`. Grid (tiles, parts).
pub fn dense_decode_f16(q: u64, kv: u64, params: &DenseDecodeParams) {
    // SAFETY: the machine checks every access.
    unsafe { dense::run::<F16>(TensorMapAddress(q), TensorMapAddress(kv), params) }
}

/// `append_bf16`. Grid (`cache::ctas(rows)`).
pub fn append_bf16(params: &AppendParams) {
    // SAFETY: the machine checks every access.
    unsafe { append::run::<Bf16>(params) }
}

/// `append_f16`. Grid (`cache::ctas(rows)`).
pub fn append_f16(params: &AppendParams) {
    // SAFETY: the machine checks every access.
    unsafe { append::run::<F16>(params) }
}

/// `gather`. Grid (`cache::ctas(rows)`).
pub fn gather(params: &GatherParams) {
    // SAFETY: the machine checks every access.
    unsafe { rows::run(params) }
}

/// `copy_blocks`. Grid (copies, `copy::ctas_per_block`).
pub fn copy_blocks(params: &CopyBlocksParams) {
    // SAFETY: the machine checks every access.
    unsafe { copy::run(params) }
}

/// `append_fp8_656_bf16`. Grid (`cache::ctas(rows)`).
pub fn append_fp8_656_bf16(params: &AppendParams) {
    // SAFETY: the machine checks every access.
    unsafe { fp8::append::run::<Bf16, Token656>(params) }
}

/// `append_fp8_656_f16`. Grid (`cache::ctas(rows)`).
pub fn append_fp8_656_f16(params: &AppendParams) {
    // SAFETY: the machine checks every access.
    unsafe { fp8::append::run::<F16, Token656>(params) }
}

/// `append_fp8_584_bf16`. Grid (`cache::ctas(rows)`).
pub fn append_fp8_584_bf16(params: &AppendParams) {
    // SAFETY: the machine checks every access.
    unsafe { fp8::append::run::<Bf16, Paged584>(params) }
}

/// `append_fp8_584_f16`. Grid (`cache::ctas(rows)`).
pub fn append_fp8_584_f16(params: &AppendParams) {
    // SAFETY: the machine checks every access.
    unsafe { fp8::append::run::<F16, Paged584>(params) }
}

/// `gather_fp8_656_bf16`. Grid (`cache::ctas(rows)`).
pub fn gather_fp8_656_bf16(params: &GatherParams) {
    // SAFETY: the machine checks every access.
    unsafe { fp8::gather::run::<Bf16, Token656>(params) }
}

/// `gather_fp8_656_f16`. Grid (`cache::ctas(rows)`).
pub fn gather_fp8_656_f16(params: &GatherParams) {
    // SAFETY: the machine checks every access.
    unsafe { fp8::gather::run::<F16, Token656>(params) }
}

/// `gather_fp8_584_bf16`. Grid (`cache::ctas(rows)`).
pub fn gather_fp8_584_bf16(params: &GatherParams) {
    // SAFETY: the machine checks every access.
    unsafe { fp8::gather::run::<Bf16, Paged584>(params) }
}

/// `gather_fp8_584_f16`. Grid (`cache::ctas(rows)`).
pub fn gather_fp8_584_f16(params: &GatherParams) {
    // SAFETY: the machine checks every access.
    unsafe { fp8::gather::run::<F16, Paged584>(params) }
}
