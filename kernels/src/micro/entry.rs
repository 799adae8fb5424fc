//! The entry points of the module of micro-benchmarks, and nothing else. `launch::KERNELS` beside this file lists
//! them with their geometry.

use crate::micro::abi::{CopyParams, ReadParams, RingParams, TensorParams};
use crate::micro::tensor::{Rs64, Rs256, Ss64, Ss128, Ss256};
use crate::micro::{empty as without_work, ring, stream, tensor};
use crate::ptx::tma::{TensorMap, tensor_map_parameter};

/// Sums the vectors of `params`. Grid (any number of CTAs).
///
/// # Safety
/// The launch follows `launch::STREAM_READ`; every address in `params` is valid for the sizes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn stream_read(params: ReadParams) {
    // SAFETY: the launcher's promise.
    unsafe { stream::read(&params) }
}

/// Copies the vectors of `params`. Grid (any number of CTAs).
///
/// # Safety
/// The launch follows `launch::STREAM_COPY`; every address in `params` is valid for the sizes in it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn stream_copy(params: CopyParams) {
    // SAFETY: the launcher's promise.
    unsafe { stream::copy(&params) }
}

/// Loads boxes of `_map` into a ring. Grid (any number of CTAs).
///
/// # Safety
/// The launch follows `launch::RING_PLAIN`; the map is that of a cache as `ring` describes it.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn ring_plain(_map: TensorMap, params: RingParams) {
    let map = tensor_map_parameter!("ring_plain_param_0");
    // SAFETY: the launcher's promise.
    unsafe { ring::plain(map, &params) }
}

/// Loads boxes of `_map` into two rings at once. Grid (an even number of CTAs).
///
/// # Safety
/// As for [`ring_plain`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn ring_multicast_1(_map: TensorMap, params: RingParams) {
    let map = tensor_map_parameter!("ring_multicast_1_param_0");
    // SAFETY: the launcher's promise.
    unsafe { ring::multicast::<{ ring::RING_BOXES }>(map, &params) }
}

/// [`ring_multicast_1`], four boxes at a time.
///
/// # Safety
/// As for [`ring_plain`].
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn ring_multicast_4(_map: TensorMap, params: RingParams) {
    let map = tensor_map_parameter!("ring_multicast_4_param_0");
    // SAFETY: the launcher's promise.
    unsafe { ring::multicast::<{ ring::RING_BOXES / 4 }>(map, &params) }
}

macro_rules! tensor_kernels {
    ($($name:ident: $variant:ty;)*) => {
        $(
            /// Multiplies. Grid (any number of CTAs).
            ///
            /// # Safety
            /// The launch follows `micro::launch`, with `params.warpgroups` warpgroups in each CTA; every address
            /// in `params` is valid for the sizes in it.
            #[unsafe(no_mangle)]
            pub unsafe extern "ptx-kernel" fn $name(params: TensorParams) {
                // SAFETY: the launcher's promise.
                unsafe { tensor::run::<$variant>(&params) }
            }
        )*
    };
}

tensor_kernels! {
    tensor_ss_64: Ss64;
    tensor_rs_64: Rs64;
    tensor_ss_128: Ss128;
    tensor_ss_256: Ss256;
    tensor_rs_256: Rs256;
}

/// Does nothing.
#[unsafe(no_mangle)]
pub extern "ptx-kernel" fn empty() {}

/// Does nothing but what a programmatic dependent launch needs.
#[unsafe(no_mangle)]
pub extern "ptx-kernel" fn empty_dependent() {
    without_work::run_dependent();
}
