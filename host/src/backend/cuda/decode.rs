//! The launches of one decode.

use std::ffi::c_void;

use oxmla_kernels::abi::DenseDecodeParams;
use oxmla_kernels::decode::combine::Grid;

use super::context::Current;
use super::device::CudaDevice;
use super::driver::Handle;
use super::launch::Launch;
use super::module::DecodeKernels;
use super::tensor_map::Layout;
use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::TensorRef;

/// What the kernels of one decode work on. Shapes, strides and locations have been checked.
pub(crate) struct DecodeLaunch<'a> {
    /// Type of `q`, `kv_cache` and the output.
    pub dtype: DType,
    /// `[batch, s_q, h_q, 576]`.
    pub q: &'a TensorRef<'a>,
    /// `[blocks, 64, h_k, 576]`.
    pub kv_cache: &'a TensorRef<'a>,
    /// Everything else.
    pub params: &'a DenseDecodeParams,
}

/// Gives the decode kernel and the combine kernel to `stream`. Allocates nothing and waits for nothing, so it
/// can be captured.
///
/// # Errors
/// [`StrideMismatch`](crate::Error::StrideMismatch) if the kernels cannot follow `q`, or
/// [`Driver`](crate::Error::Driver).
pub(crate) fn launch_decode(
    device: &CudaDevice,
    stream: *mut c_void,
    launch: &DecodeLaunch<'_>,
) -> Result<()> {
    let kernels = device.kernels().decode(launch.dtype)?;
    let current = device.make_current()?;
    launch.main_kernel(kernels, &current, stream)?;
    launch.combine(kernels, &current, stream)
}

/// Gives the decode kernel alone to `stream`: what a benchmark measures. Requests that were split among CTAs
/// stay in the workspace, unmerged.
///
/// # Errors
/// As for [`launch_decode`].
pub(crate) fn launch_main_kernel(
    device: &CudaDevice,
    stream: *mut c_void,
    launch: &DecodeLaunch<'_>,
) -> Result<()> {
    let kernels = device.kernels().decode(launch.dtype)?;
    launch.main_kernel(kernels, &device.make_current()?, stream)
}

impl DecodeLaunch<'_> {
    fn main_kernel(
        &self,
        kernels: &DecodeKernels,
        current: &Current<'_>,
        stream: Handle,
    ) -> Result<()> {
        let Self { q, kv_cache, params, .. } = *self;
        let driver = current.driver();
        let mut q = Layout::of_queries(q, &params.rows)?.encode(driver, q)?;
        let mut kv_cache = Layout::of_cache(kv_cache)?.encode(driver, kv_cache)?;
        let launch = Launch {
            function: kernels.decode,
            grid: [params.rows.tiles(), params.parts, 1],
            programmatic: false,
            cooperative: false,
        };
        let parameters = [q.parameter(), kv_cache.parameter(), parameter(params)];
        // SAFETY: two tensor maps and the parameters, as the kernel declares them.
        unsafe { launch.start(current, stream, parameters) }
    }

    /// The combine kernel starts while the decode kernel before it is still running: it waits for that by
    /// itself.
    fn combine(
        &self,
        kernels: &DecodeKernels,
        current: &Current<'_>,
        stream: Handle,
    ) -> Result<()> {
        let params = self.params;
        let Grid { x, y, .. } = Grid::new(&params.rows, params.batch, params.parts);
        let launch = Launch {
            function: kernels.combine,
            grid: [x, y, 1],
            programmatic: true,
            cooperative: false,
        };
        // SAFETY: the parameters, as the kernel declares them.
        unsafe { launch.start(current, stream, [parameter(params)]) }
    }
}

/// What a launch takes for the parameters. It only reads through the pointer.
fn parameter(params: &DenseDecodeParams) -> Handle {
    (&raw const *params).cast_mut().cast()
}
