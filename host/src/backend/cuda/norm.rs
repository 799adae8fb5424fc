//! The launch that normalises rows. It allocates nothing and waits for nothing, so it can be captured.

use std::ffi::c_void;

use oxmla_kernels::norm::abi::NormParams;
use oxmla_kernels::norm::ctas;

use super::choice;
use super::device::CudaDevice;
use super::launch;
use crate::dtype::DType;
use crate::error::Result;

/// Gives the kernel for rows of `dtype` to `stream`. Shapes, strides and locations have been checked.
///
/// # Errors
/// [`Driver`](crate::Error::Driver).
pub(crate) fn launch_norm(
    device: &CudaDevice,
    stream: *mut c_void,
    dtype: DType,
    params: &NormParams,
) -> Result<()> {
    let choice = choice::norm(dtype)?;
    launch::start(device, stream, choice, [ctas(params.rows), 1, 1], params)
}
