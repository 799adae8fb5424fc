//! The launches that move cached rows. Each allocates nothing and waits for nothing, so it can be captured.

use std::ffi::c_void;

use oxmla_kernels::cache::abi::{AppendParams, CopyBlocksParams, GatherParams};
use oxmla_kernels::cache::{copy, ctas};

use super::choice;
use super::device::CudaDevice;
use super::launch::start;
use crate::cache::CacheFormat;
use crate::dtype::DType;
use crate::error::Result;

/// Gives the append kernel for a cache of a format, and for rows of a type, to `stream`. Shapes, strides and locations have been checked.
///
/// # Errors
/// [`Driver`](crate::Error::Driver).
pub(crate) fn launch_append(
    device: &CudaDevice,
    stream: *mut c_void,
    (format, rows): (CacheFormat, DType),
    params: &AppendParams,
) -> Result<()> {
    let choice = choice::append(format, rows)?;
    start(device, stream, choice, [ctas(params.rows), 1, 1], params)
}

/// Gives the gather kernel to `stream`, as [`launch_append`].
///
/// # Errors
/// [`Driver`](crate::Error::Driver).
pub(crate) fn launch_gather(
    device: &CudaDevice,
    stream: *mut c_void,
    (format, rows): (CacheFormat, DType),
    params: &GatherParams,
) -> Result<()> {
    let choice = choice::gather(format, rows)?;
    start(device, stream, choice, [ctas(params.rows), 1, 1], params)
}

/// Gives the kernel that copies blocks, so many, to `stream`, as [`launch_append`].
///
/// # Errors
/// [`Driver`](crate::Error::Driver).
pub(crate) fn launch_copy_blocks(
    device: &CudaDevice,
    stream: *mut c_void,
    copies: u32,
    params: &CopyBlocksParams,
) -> Result<()> {
    let grid = [copies, copy::ctas_per_block(params.vectors), 1];
    start(device, stream, choice::COPY_BLOCKS, grid, params)
}
