//! The launch of a matrix product.

use std::ffi::c_void;

use oxmla_kernels::gemm::abi::{GemmParams, Turns};
use oxmla_kernels::gemm::tiling::Tiling;

use super::choice;
use super::device::CudaDevice;
use super::launch::Launch;
use super::tensor_map::Layout;
use crate::error::{Error, Result};
use crate::gemm::{GpuMemory, Product, Turning};

/// Gives the kernel of a product to `stream`. Shapes, strides and locations have been checked. Allocates nothing and
/// waits for nothing, so it can be captured.
///
/// Where CTAs share tiles, each waits for the others: the launch is then a cooperative one. Otherwise CTAs start while
/// the kernel in front of theirs ends, and wait for its end themselves.
///
/// # Errors
/// [`SizeOverflow`](Error::SizeOverflow) if there are more tiles than the kernels count, or
/// [`Driver`](Error::Driver).
pub(crate) fn launch_gemm(
    device: &CudaDevice,
    stream: *mut c_void,
    workspace: &GpuMemory,
    product: &Product<'_>,
) -> Result<()> {
    if product.is_empty() {
        return Ok(());
    }
    let choose = || Tiling::choose(&product.shape, workspace.multiprocessors);
    let tiling = product.tiling.or_else(choose).ok_or(Error::SizeOverflow { what: "product" })?;
    let function = device.function(choice::gemm(product.x.dtype(), &tiling)?)?;
    let current = device.make_current()?;
    let (driver, y) = (current.driver(), product.y.as_ref());
    let [m, n, k] = [product.shape.m, product.shape.n, product.shape.k].map(u64::from);
    let params = params(product, workspace, &tiling);
    let x_layout = Layout::of_matrices(&product.x, [m, k])?.with_box_rows(params.x_rows);
    let mut x_map = x_layout.encode(driver, &product.x)?;
    let mut weight_map =
        Layout::of_matrices(&product.weight, [n, k])?.encode(driver, &product.weight)?;
    let mut y_map = Layout::of_matrices(&y, [m, n])?.encode(driver, &y)?;
    let launch = Launch {
        function,
        grid: [tiling.ctas, 1, 1],
        // Whoever waits for others starts when all are there.
        programmatic: tiling.splits == 1,
        cooperative: tiling.splits > 1,
    };
    let parameters = [
        x_map.parameter(),
        weight_map.parameter(),
        y_map.parameter(),
        (&raw const params).cast_mut().cast(),
    ];
    // SAFETY: three tensor maps and the parameters, as the kernel declares them; the driver only reads.
    unsafe { launch.start(&current, stream, parameters) }
}

fn params(product: &Product<'_>, workspace: &GpuMemory, tiling: &Tiling) -> GemmParams {
    let strides = product.y.strides();
    let [partial, arrivals] = workspace.addresses();
    GemmParams {
        y: product.y.address(),
        y_stride_batch: strides[0] as u64,
        y_stride_row: strides[1] as u64,
        partial,
        arrivals,
        shape: product.shape,
        splits: tiling.splits,
        x_rows: tiling.rows_of_box(&product.shape),
        turns: product.turning.as_ref().map_or_else(Turns::default, |t| turns(product, t)),
    }
}

/// Of the columns behind those of the product.
fn turns(product: &Product<'_>, turning: &Turning<'_>) -> Turns {
    let (from, to) = (product.x.strides(), product.y.strides());
    Turns {
        from: product.x.address() + 2 * u64::from(product.shape.k),
        from_stride_token: from[1] as u64,
        from_stride_head: from[0] as u64,
        to: product.y.address() + 2 * u64::from(product.shape.n),
        to_stride_token: to[1] as u64,
        to_stride_head: to[0] as u64,
        rotations: turning.rotations.address(),
        lengths: turning.lengths.address(),
        tokens: product.shape.m,
        heads: product.shape.batch,
        tokens_per_request: turning.tokens_per_request as u32,
        positions: turning.rotations.shape()[0] as u32,
    }
}
