//! Dense decode over caches of elements.

use crate::abi::DenseDecodeParams;
use crate::attention::limits::{Limited, Plain};
use crate::decode::{dense, pair};
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
