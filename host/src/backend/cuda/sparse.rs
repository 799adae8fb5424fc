//! The launch of sparse attention.

use std::ffi::c_void;

use oxmla_kernels::decode::sparse::abi::SparseParams;

use super::choice;
use super::device::CudaDevice;
use super::launch::Launch;
use super::tensor_map::Layout;
use crate::error::Result;
use crate::tensor::TensorRef;

/// The kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SparseKernel {
    /// CTAs share lists.
    Decode,
    /// The same, over an FP8 cache.
    DecodeFp8,
    /// Every list is one CTA's, for each tile of heads.
    Prefill,
}

/// What the kernel of one call works on. Shapes, strides and locations have been checked.
pub(crate) struct SparseLaunch<'a> {
    /// Which kernel.
    pub kernel: SparseKernel,
    /// `[tokens, h_q, d_qk]`.
    pub q: &'a TensorRef<'a>,
    /// Everything else.
    pub params: &'a SparseParams,
}

/// Gives the kernel to `stream`. Allocates nothing and waits for nothing, so it can be captured.
///
/// Where CTAs share lists, each waits for the others at its end: the launch is then a cooperative one.
///
/// # Errors
/// [`Driver`](crate::Error::Driver).
pub(crate) fn launch_sparse(
    device: &CudaDevice,
    stream: *mut c_void,
    launch: &SparseLaunch<'_>,
) -> Result<()> {
    let SparseLaunch { kernel, q, params } = *launch;
    let current = device.make_current()?;
    let parts = params.decode.parts;
    let start = Launch {
        function: device.function(choice::sparse(kernel, q.shape()[2]))?,
        grid: [params.decode.rows.tiles(), parts, 1],
        programmatic: false,
        cooperative: kernel != SparseKernel::Prefill && parts > 1,
    };
    let mut map = Layout::of_sparse_queries(q).encode(current.driver(), q)?;
    let parameters = [map.parameter(), (&raw const *params).cast_mut().cast()];
    // SAFETY: a tensor map and the parameters, as the kernel declares them; the driver only reads through the pointer.
    unsafe { start.start(&current, stream, parameters) }
}
