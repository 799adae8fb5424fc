//! The entry points of `entry`, for a launch of the SIMT machine (`oxmla_simt::Launch`).
//!
//! Geometry comes from [`crate::launch`], as on the device. Tensor maps are addresses that
//! `oxmla_simt::Memory::tensor_map` gave out, of the maps that [`crate::decode::dense::config`],
//! [`crate::decode::dense_fp8::config`], [`crate::decode::fp8_math::config`], [`crate::decode::sparse::config`] and [`crate::gemm::config`] describe.

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
use crate::ptx::tma::TensorMapAddress;
use crate::tile::element::{Bf16, F16};

/// `dense_decode_bf16`. Grid (tiles, parts).
pub fn dense_decode_bf16(q: u64, kv: u64, params: &DenseDecodeParams) {
    // SAFETY: the machine checks every access.
    unsafe { dense::run::<Bf16, Plain>(TensorMapAddress(q), TensorMapAddress(kv), params) }
}

/// `dense_decode_f16`. Grid (tiles, parts).
pub fn dense_decode_f16(q: u64, kv: u64, params: &DenseDecodeParams) {
    // SAFETY: the machine checks every access.
    unsafe { dense::run::<F16, Plain>(TensorMapAddress(q), TensorMapAddress(kv), params) }
}

/// `dense_fp8_decode_bf16`, with the maps of codes, scales and rope parts. Grid (tiles, parts).
pub fn dense_fp8_decode_bf16(q: u64, kv: [u64; 3], params: &DenseDecodeParams) {
    let [codes, scales, rope] = kv.map(TensorMapAddress);
    let kv = Codes { codes, scales, rope };
    // SAFETY: the machine checks every access.
    unsafe { dense_fp8::run::<Bf16, Plain>(TensorMapAddress(q), kv, params) }
}

/// `dense_fp8_decode_limited_bf16`, with the maps of codes, scales and rope parts. Grid (tiles, parts).
pub fn dense_fp8_decode_limited_bf16(q: u64, kv: [u64; 3], params: &DenseDecodeParams) {
    let [codes, scales, rope] = kv.map(TensorMapAddress);
    let kv = Codes { codes, scales, rope };
    // SAFETY: the machine checks every access.
    unsafe { dense_fp8::run::<Bf16, Limited>(TensorMapAddress(q), kv, params) }
}

/// `dense_fp8_decode_f16`, with the maps of codes, scales and rope parts. Grid (tiles, parts).
pub fn dense_fp8_decode_f16(q: u64, kv: [u64; 3], params: &DenseDecodeParams) {
    let [codes, scales, rope] = kv.map(TensorMapAddress);
    let kv = Codes { codes, scales, rope };
    // SAFETY: the machine checks every access.
    unsafe { dense_fp8::run::<F16, Plain>(TensorMapAddress(q), kv, params) }
}

/// `dense_fp8_decode_limited_f16`, with the maps of codes, scales and rope parts. Grid (tiles, parts).
pub fn dense_fp8_decode_limited_f16(q: u64, kv: [u64; 3], params: &DenseDecodeParams) {
    let [codes, scales, rope] = kv.map(TensorMapAddress);
    let kv = Codes { codes, scales, rope };
    // SAFETY: the machine checks every access.
    unsafe { dense_fp8::run::<F16, Limited>(TensorMapAddress(q), kv, params) }
}

/// `fp8_math_decode_bf16`, with the maps of codes, rope parts and scales. Grid (tiles, parts).
pub fn fp8_math_decode_bf16(q: u64, kv: [u64; 3], params: &DenseDecodeParams) {
    let [codes, rope, scales] = kv.map(TensorMapAddress);
    let kv = Planes { codes, rope, scales };
    // SAFETY: the machine checks every access.
    unsafe { fp8_math::run::<Bf16, Plain>(TensorMapAddress(q), kv, params) }
}

/// `fp8_math_decode_f16`, with the maps of codes, rope parts and scales. Grid (tiles, parts).
pub fn fp8_math_decode_f16(q: u64, kv: [u64; 3], params: &DenseDecodeParams) {
    let [codes, rope, scales] = kv.map(TensorMapAddress);
    let kv = Planes { codes, rope, scales };
    // SAFETY: the machine checks every access.
    unsafe { fp8_math::run::<F16, Plain>(TensorMapAddress(q), kv, params) }
}

/// `fp8_math_decode_limited_bf16`, with the maps of codes, rope parts and scales. Grid (tiles, parts).
pub fn fp8_math_decode_limited_bf16(q: u64, kv: [u64; 3], params: &DenseDecodeParams) {
    let [codes, rope, scales] = kv.map(TensorMapAddress);
    let kv = Planes { codes, rope, scales };
    // SAFETY: the machine checks every access.
    unsafe { fp8_math::run::<Bf16, Limited>(TensorMapAddress(q), kv, params) }
}

/// `fp8_math_decode_limited_f16`, with the maps of codes, rope parts and scales. Grid (tiles, parts).
pub fn fp8_math_decode_limited_f16(q: u64, kv: [u64; 3], params: &DenseDecodeParams) {
    let [codes, rope, scales] = kv.map(TensorMapAddress);
    let kv = Planes { codes, rope, scales };
    // SAFETY: the machine checks every access.
    unsafe { fp8_math::run::<F16, Limited>(TensorMapAddress(q), kv, params) }
}

/// `pair_decode_bf16`. Grid (tiles, parts), an even number of tiles for each list of rows.
pub fn pair_decode_bf16(q: u64, kv: u64, params: &DenseDecodeParams) {
    // SAFETY: the machine checks every access.
    unsafe { pair::run::<Bf16, Plain>(TensorMapAddress(q), TensorMapAddress(kv), params) }
}

/// `pair_decode_f16`. Grid (tiles, parts), an even number of tiles for each list of rows.
pub fn pair_decode_f16(q: u64, kv: u64, params: &DenseDecodeParams) {
    // SAFETY: the machine checks every access.
    unsafe { pair::run::<F16, Plain>(TensorMapAddress(q), TensorMapAddress(kv), params) }
}

/// `dense_decode_limited_bf16`. Grid (tiles, parts).
pub fn dense_decode_limited_bf16(q: u64, kv: u64, params: &DenseDecodeParams) {
    // SAFETY: the machine checks every access.
    unsafe { dense::run::<Bf16, Limited>(TensorMapAddress(q), TensorMapAddress(kv), params) }
}

/// `dense_decode_limited_f16`. Grid (tiles, parts).
pub fn dense_decode_limited_f16(q: u64, kv: u64, params: &DenseDecodeParams) {
    // SAFETY: the machine checks every access.
    unsafe { dense::run::<F16, Limited>(TensorMapAddress(q), TensorMapAddress(kv), params) }
}

/// `pair_decode_limited_bf16`. Grid (tiles, parts), an even number of tiles for each list of rows.
pub fn pair_decode_limited_bf16(q: u64, kv: u64, params: &DenseDecodeParams) {
    // SAFETY: the machine checks every access.
    unsafe { pair::run::<Bf16, Limited>(TensorMapAddress(q), TensorMapAddress(kv), params) }
}

/// `pair_decode_limited_f16`. Grid (tiles, parts), an even number of tiles for each list of rows.
pub fn pair_decode_limited_f16(q: u64, kv: u64, params: &DenseDecodeParams) {
    // SAFETY: the machine checks every access.
    unsafe { pair::run::<F16, Limited>(TensorMapAddress(q), TensorMapAddress(kv), params) }
}

/// `sparse_decode_576_bf16`. Grid (tiles, parts).
pub fn sparse_decode_576_bf16(q: u64, params: &SparseParams) {
    // SAFETY: the machine checks every access.
    unsafe { sparse::run::<Bf16, Decode, 576>(TensorMapAddress(q), params) }
}

/// `sparse_decode_512_bf16`. Grid (tiles, parts).
pub fn sparse_decode_512_bf16(q: u64, params: &SparseParams) {
    // SAFETY: the machine checks every access.
    unsafe { sparse::run::<Bf16, Decode, 512>(TensorMapAddress(q), params) }
}

/// `sparse_fp8_656_decode_bf16`. Grid (tiles, parts).
pub fn sparse_fp8_656_decode_bf16(q: u64, params: &SparseParams) {
    // SAFETY: the machine checks every access.
    unsafe { sparse_fp8::run::<Bf16, Token656, 576>(TensorMapAddress(q), params) }
}

/// `sparse_fp8_584_decode_bf16`. Grid (tiles, parts).
pub fn sparse_fp8_584_decode_bf16(q: u64, params: &SparseParams) {
    // SAFETY: the machine checks every access.
    unsafe { sparse_fp8::run::<Bf16, Paged584, 512>(TensorMapAddress(q), params) }
}

/// `sparse_prefill_576_bf16`. Grid (tiles, parts).
pub fn sparse_prefill_576_bf16(q: u64, params: &SparseParams) {
    // SAFETY: the machine checks every access.
    unsafe { sparse::run::<Bf16, Prefill, 576>(TensorMapAddress(q), params) }
}

/// `sparse_prefill_512_bf16`. Grid (tiles, parts).
pub fn sparse_prefill_512_bf16(q: u64, params: &SparseParams) {
    // SAFETY: the machine checks every access.
    unsafe { sparse::run::<Bf16, Prefill, 512>(TensorMapAddress(q), params) }
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

/// `append_fp8_644_bf16`. Grid (`cache::ctas(rows)`).
pub fn append_fp8_644_bf16(params: &AppendParams) {
    // SAFETY: the machine checks every access.
    unsafe { fp8::append::run::<Bf16, Planar644>(params) }
}

/// `append_fp8_644_f16`. Grid (`cache::ctas(rows)`).
pub fn append_fp8_644_f16(params: &AppendParams) {
    // SAFETY: the machine checks every access.
    unsafe { fp8::append::run::<F16, Planar644>(params) }
}

/// `gather_fp8_644_bf16`. Grid (`cache::ctas(rows)`).
pub fn gather_fp8_644_bf16(params: &GatherParams) {
    // SAFETY: the machine checks every access.
    unsafe { fp8::gather::run::<Bf16, Planar644>(params) }
}

/// `gather_fp8_644_f16`. Grid (`cache::ctas(rows)`).
pub fn gather_fp8_644_f16(params: &GatherParams) {
    // SAFETY: the machine checks every access.
    unsafe { fp8::gather::run::<F16, Planar644>(params) }
}

/// `norm_bf16`. Grid (`norm::ctas(rows)`).
pub fn norm_bf16(params: &NormParams) {
    // SAFETY: the machine checks every access.
    unsafe { norm::run::<Bf16>(params) }
}

/// `norm_f16`. Grid (`norm::ctas(rows)`).
pub fn norm_f16(params: &NormParams) {
    // SAFETY: the machine checks every access.
    unsafe { norm::run::<F16>(params) }
}

macro_rules! gemm_kernels {
    ($($name:ident: $element:ty, $width:ty;)*) => {
        $(
            /// Matrix products, with the maps of `x`, weight and `y`. Grid (`gemm::tiling::Tiling::ctas`).
            pub fn $name([x, weight, y]: [u64; 3], params: &GemmParams) {
                let [x, weight, y] = [x, weight, y].map(TensorMapAddress);
                // SAFETY: the machine checks every access.
                unsafe { gemm::run::<$element, $width>(Maps { x, weight, y }, params) }
            }
        )*
    };
}

gemm_kernels! {
    gemm_64_bf16: Bf16, N64;
    gemm_128_bf16: Bf16, N128;
    gemm_256_bf16: Bf16, N256;
    gemm_pair_192_bf16: Bf16, Pair192;
    gemm_pair_256_bf16: Bf16, Pair256;
    gemm_64_f16: F16, N64;
    gemm_128_f16: F16, N128;
    gemm_256_f16: F16, N256;
    gemm_pair_192_f16: F16, Pair192;
    gemm_pair_256_f16: F16, Pair256;
}
