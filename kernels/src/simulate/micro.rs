//! The entry points of the micro-benchmarks, for a launch of the SIMT machine, as [`super::entry`] has those of
//! the decode kernels. Geometry comes from [`crate::micro::launch`].

use crate::micro::abi::{CopyParams, ReadParams, RingParams, TensorParams};
use crate::micro::tensor::{Rs64, Rs256, Ss64, Ss128, Ss256};
use crate::micro::{empty, ring, stream, tensor};
use crate::ptx::tma::TensorMapAddress;

/// `stream_read`. Grid (any number of CTAs).
pub fn stream_read(params: &ReadParams) {
    // SAFETY: the machine checks every access.
    unsafe { stream::read(params) }
}

/// `stream_copy`. Grid (any number of CTAs).
pub fn stream_copy(params: &CopyParams) {
    // SAFETY: the machine checks every access.
    unsafe { stream::copy(params) }
}

/// `ring_plain`. Grid (any number of CTAs).
pub fn ring_plain(map: u64, params: &RingParams) {
    // SAFETY: the machine checks every access.
    unsafe { ring::plain(TensorMapAddress(map), params) }
}

/// `ring_multicast_1`. Grid (an even number of CTAs).
pub fn ring_multicast_1(map: u64, params: &RingParams) {
    // SAFETY: the machine checks every access.
    unsafe { ring::multicast::<{ ring::RING_BOXES }>(TensorMapAddress(map), params) }
}

/// `ring_multicast_4`. Grid (an even number of CTAs).
pub fn ring_multicast_4(map: u64, params: &RingParams) {
    // SAFETY: the machine checks every access.
    unsafe { ring::multicast::<{ ring::RING_BOXES / 4 }>(TensorMapAddress(map), params) }
}

macro_rules! tensor_kernels {
    ($($name:ident: $variant:ty;)*) => {
        $(
            /// Multiplies. Grid (any number of CTAs).
            pub fn $name(params: &TensorParams) {
                // SAFETY: the machine checks every access.
                unsafe { tensor::run::<$variant>(params) }
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

/// `empty_dependent`.
pub fn empty_dependent() {
    empty::run_dependent();
}
