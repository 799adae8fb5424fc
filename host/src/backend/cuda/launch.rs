//! The launches of one decode.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::slice;

use oxmla_kernels::abi::DenseDecodeParams;
use oxmla_kernels::decode::combine::Grid;

use super::device::CudaDevice;
use super::driver::{Driver, Handle, LaunchAttribute, LaunchConfig};
use super::module::Function;
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
    launch_main_kernel(device, stream, launch)?;
    launch_combine(device, stream, launch)
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
    let (driver, params) = (device.driver(), launch.params);
    let function = device.kernels().decode(launch.dtype)?.decode;
    let mut q = Layout::of_queries(launch.q, &params.rows)?.encode(driver, launch.q)?;
    let mut kv_cache = Layout::of_cache(launch.kv_cache)?.encode(driver, launch.kv_cache)?;
    let mut parameters = [q.parameter(), kv_cache.parameter(), parameter(params)];
    let _current = device.make_current()?;
    // SAFETY: two tensor maps and the parameters, as the kernel declares them.
    unsafe {
        let grid = (params.rows.tiles(), params.parts);
        start(driver, function, grid, stream, &mut parameters, &mut [])
    }
}

/// Gives the combine kernel to `stream`, to start while the decode kernel before it is still running: it waits
/// for that by itself.
fn launch_combine(
    device: &CudaDevice,
    stream: *mut c_void,
    launch: &DecodeLaunch<'_>,
) -> Result<()> {
    let params = launch.params;
    let function = device.kernels().decode(launch.dtype)?.combine;
    let grid = Grid::new(&params.rows, params.batch, params.parts);
    let early = LaunchAttribute::PROGRAMMATIC_STREAM_SERIALIZATION;
    let mut parameters = [parameter(params)];
    let _current = device.make_current()?;
    // SAFETY: the parameters, as the kernel declares them.
    unsafe {
        let grid = (grid.x, grid.y);
        start(
            device.driver(),
            function,
            grid,
            stream,
            &mut parameters,
            slice::from_mut(&mut { early }),
        )
    }
}

/// What a launch takes for the parameters. It only reads through the pointer.
fn parameter(params: &DenseDecodeParams) -> Handle {
    (&raw const *params).cast_mut().cast()
}

/// Launches a kernel with a grid of that many CTAs along x and y.
///
/// # Safety
/// `parameters` are what the kernel declares, and every address in them is valid.
unsafe fn start(
    driver: &Driver,
    Function { handle, geometry }: Function,
    (grid_x, grid_y): (u32, u32),
    stream: Handle,
    parameters: &mut [Handle],
    attributes: &mut [LaunchAttribute],
) -> Result<()> {
    let config = LaunchConfig {
        grid: [grid_x, grid_y, 1],
        block: [geometry.threads, 1, 1],
        shared_bytes: geometry.shared_bytes,
        stream,
        attributes: attributes.as_mut_ptr(),
        attribute_count: attributes.len() as u32,
    };
    // SAFETY: the caller's promise; the driver copies everything before it returns.
    unsafe { driver.cuLaunchKernelEx(&config, handle, parameters.as_mut_ptr(), null_mut()) }
}
