//! The launch of one decode.

use std::ffi::c_void;

use oxmla_kernels::abi::DenseDecodeParams;
use oxmla_kernels::decode::Variant;

use super::choice;
use super::device::CudaDevice;
use super::driver::Handle;
use super::launch::Launch;
use super::tensor_map::{Layout, encode_fp8, encode_planar};
use crate::cache::{CacheFormat, Fp8Format};
use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::TensorRef;

/// What the kernel of one decode works on. Shapes, strides and locations have been checked.
pub(crate) struct DecodeLaunch<'a> {
    /// Type of `q`, the output, and `kv_cache` if it is of elements.
    pub dtype: DType,
    /// Which kernel, if the cache is of elements; it accepts the rows.
    pub variant: Variant,
    /// `[batch, s_q, h_q, 576]`.
    pub q: &'a TensorRef<'a>,
    /// `[blocks, block size, h_k, 576]`, or `[blocks, block size, 1, 656 or 644]` bytes.
    pub kv_cache: &'a TensorRef<'a>,
    /// Everything else.
    pub params: &'a DenseDecodeParams,
}

/// Gives the decode kernel to `stream`. Allocates nothing and waits for nothing, so it can be captured.
///
/// Where CTAs share requests, each waits for the others at its end: the launch is then a cooperative one, which
/// begins when all of them have a multiprocessor.
///
/// # Errors
/// [`StrideMismatch`](crate::Error::StrideMismatch) if the kernel cannot follow `q`, or
/// [`Driver`](crate::Error::Driver).
pub(crate) fn launch_decode(
    device: &CudaDevice,
    stream: *mut c_void,
    launch: &DecodeLaunch<'_>,
) -> Result<()> {
    let DecodeLaunch { q, kv_cache, params, .. } = *launch;
    let limited = params.is_limited();
    let format = CacheFormat::of(kv_cache)?;
    let function = device.function(match format {
        CacheFormat::Elements(_) => choice::decode(launch.variant, limited, launch.dtype)?,
        CacheFormat::Fp8(format) => choice::decode_fp8(format, limited, launch.dtype)?,
    })?;
    let current = device.make_current()?;
    let driver = current.driver();
    let launch = Launch {
        function,
        grid: [params.rows.tiles(), params.parts, 1],
        programmatic: false,
        cooperative: params.parts > 1,
    };
    let mut q = Layout::of_queries(q, &params.rows)?.encode(driver, q)?;
    if let CacheFormat::Fp8(format) = format {
        let [mut a, mut b, mut c] = match format {
            Fp8Format::Planar644 => encode_planar(driver, kv_cache)?,
            _ => encode_fp8(driver, kv_cache)?,
        };
        let parameters =
            [q.parameter(), a.parameter(), b.parameter(), c.parameter(), parameter(params)];
        // SAFETY: four tensor maps and the parameters, as the kernel declares them.
        return unsafe { launch.start(&current, stream, parameters) };
    }
    let mut kv_cache = Layout::of_cache(kv_cache)?.encode(driver, kv_cache)?;
    let parameters = [q.parameter(), kv_cache.parameter(), parameter(params)];
    // SAFETY: two tensor maps and the parameters, as the kernel declares them.
    unsafe { launch.start(&current, stream, parameters) }
}

/// What a launch takes for the parameters. It only reads through the pointer.
fn parameter(params: &DenseDecodeParams) -> Handle {
    (&raw const *params).cast_mut().cast()
}
