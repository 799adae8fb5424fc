//! The launches that move cached rows. Each allocates nothing and waits for nothing, so it can be captured.

use std::ffi::c_void;

use oxmla_kernels::cache::abi::{AppendParams, CopyBlocksParams, GatherParams};
use oxmla_kernels::cache::{copy, ctas};

use super::device::CudaDevice;
use super::launch::start;
use crate::dtype::DType;
use crate::error::Result;

/// Gives the append kernel for a cache of `dtype` to `stream`. Shapes, strides and locations have been checked.
///
/// # Errors
/// [`Driver`](crate::Error::Driver).
pub(crate) fn launch_append(
    device: &CudaDevice,
    stream: *mut c_void,
    dtype: DType,
    params: &AppendParams,
) -> Result<()> {
    let function = device.kernels().append(dtype)?;
    start(device, stream, function, [ctas(params.rows), 1, 1], params)
}

/// Gives the gather kernel to `stream`, as [`launch_append`].
///
/// # Errors
/// [`Driver`](crate::Error::Driver).
pub(crate) fn launch_gather(
    device: &CudaDevice,
    stream: *mut c_void,
    params: &GatherParams,
) -> Result<()> {
    start(device, stream, device.kernels().gather(), [ctas(params.rows), 1, 1], params)
}

/// Gives the kernel that copies blocks of so many KV heads to `stream`, as [`launch_append`].
///
/// # Errors
/// [`Driver`](crate::Error::Driver).
pub(crate) fn launch_copy_blocks(
    device: &CudaDevice,
    stream: *mut c_void,
    [copies, h_k]: [u32; 2],
    params: &CopyBlocksParams,
) -> Result<()> {
    let grid = [copies, h_k * copy::CTAS_PER_HEAD, 1];
    start(device, stream, device.kernels().copy_blocks(), grid, params)
}
