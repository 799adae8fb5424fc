//! Dense decode over FP8 caches.

use crate::abi::DenseDecodeParams;
use crate::attention::limits::{Limited, Plain};
use crate::decode::dense_fp8::Codes;
use crate::decode::fp8_math::Planes;
use crate::decode::{dense_fp8, fp8_math};
use crate::ptx::tma::{TensorMap, tensor_map_parameter};
use crate::tile::element::{Bf16, F16};

/// Dense decode over an FP8 cache of 656 bytes a token, bf16. Grid (tiles, parts).
///
/// # Safety
/// The launch follows `launch::DENSE_FP8_DECODE_BF16`; the maps are encoded as `decode::dense_fp8::config` says; else as
/// for [`dense_decode_bf16`](super::decode::dense_decode_bf16).
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
/// [`dense_decode_bf16`](super::decode::dense_decode_bf16).
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
