//! The entry points of `entry`, for a launch of the SIMT machine (`oxmla_simt::Launch`).
//!
//! Geometry comes from [`crate::launch`], as on the device. Tensor maps are addresses that
//! `oxmla_simt::Memory::tensor_map` gave out, of the maps that [`crate::decode::dense::config`] describes.

use crate::abi::DenseDecodeParams;
use crate::cache::abi::{AppendParams, CopyBlocksParams, GatherParams};
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

/// `copy_blocks`. Grid (copies, `copy::CTAS_PER_HEAD` · KV heads).
pub fn copy_blocks(params: &CopyBlocksParams) {
    // SAFETY: the machine checks every access.
    unsafe { copy::run(params) }
}
