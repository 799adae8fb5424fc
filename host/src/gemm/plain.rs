//! Products of tensors as they are.

#[cfg(all(feature = "cuda", feature = "cli"))]
use oxmla_kernels::gemm::tiling::{Tiling, WIDTHS, most_splits};

use super::{Product, Workspace};
use crate::check;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::stream::StreamRef;
use crate::tensor::{TensorMut, TensorRef};

/// `y = x · weightᵀ`, or a batch of such products. All tensors are on one device and of one type, bf16 or f16.
#[derive(Debug)]
pub struct Gemm<'a> {
    /// `[m, k]` or `[batch, m, k]`: rows are tokens, columns inputs.
    pub x: TensorRef<'a>,
    /// `[n, k]` or `[batch, n, k]`: rows are outputs, as in the weights of a checkpoint.
    pub weight: TensorRef<'a>,
    /// `[m, n]` or `[batch, m, n]`.
    pub y: TensorMut<'a>,
}

/// Multiplies: a projection of a layer, for example `x [tokens, 7168]`, `weight [1536, 7168]`, `y [tokens, 1536]`.
///
/// On a GPU, columns are contiguous, addresses and other strides multiples of 16 bytes, and there are a multiple of 8
/// outputs. The CPU follows any strides, and so does the simulator.
///
/// # Errors
/// - [`LocationMismatch`](Error::LocationMismatch) if a tensor, the stream or the workspace is of another device.
/// - [`UnsupportedDType`](Error::UnsupportedDType), [`DTypeMismatch`](Error::DTypeMismatch),
///   [`RankMismatch`](Error::RankMismatch), [`ShapeMismatch`](Error::ShapeMismatch) if a tensor is not what its field
///   says.
/// - [`OutOfRange`](Error::OutOfRange) if there are no inputs, or more of anything than the kernels count.
/// - [`Misaligned`](Error::Misaligned), [`MisalignedStride`](Error::MisalignedStride),
///   [`StrideMismatch`](Error::StrideMismatch), [`InvalidNumber`](Error::InvalidNumber) if the device cannot follow the
///   layout of a tensor.
///
/// All of these leave `y` as it was; [`Driver`](Error::Driver) may not.
pub fn gemm(
    device: &Device,
    stream: StreamRef<'_>,
    workspace: &Workspace,
    args: Gemm<'_>,
) -> Result<()> {
    product(device, args)?.run(device, stream, workspace)
}

/// [`gemm`](gemm()) as `tiling` says, on a GPU: to find out what is fastest.
///
/// # Errors
/// As for [`gemm`](gemm()); also [`OutOfRange`](Error::OutOfRange) if there are no such tiles, a share of one has no inputs, or
/// CTAs that share tiles are not on the GPU together.
#[cfg(all(feature = "cuda", feature = "cli"))]
pub fn gemm_in_tiles(
    device: &Device,
    stream: StreamRef<'_>,
    workspace: &Workspace,
    args: Gemm<'_>,
    tiling: Tiling,
) -> Result<()> {
    let product = product(device, args)?;
    let multiprocessors = workspace.gpu().map_or(1, |memory| memory.multiprocessors);
    if product.is_empty() {
        return Ok(());
    }
    if Tiling::choose(&product.shape, multiprocessors).is_none() {
        return Err(Error::SizeOverflow { what: "product" });
    }
    if !WIDTHS.contains(&tiling.width) {
        let (expected, got) = ("a width of the kernels", tiling.width[0].into());
        return Err(Error::InvalidNumber { arg: "width", expected, got });
    }
    let most = most_splits(&product.shape, tiling.width, multiprocessors);
    check::range("splits", tiling.splits, 1, most)?;
    let tiling = Tiling::new(&product.shape, tiling.width, tiling.splits, multiprocessors);
    Product { tiling: Some(tiling), ..product }.run(device, stream, workspace)
}

/// The product that the arguments ask for, checked.
fn product<'a>(device: &Device, args: Gemm<'a>) -> Result<Product<'a>> {
    let Gemm { x, weight, y } = args;
    let (location, dtype) = (device.location(), x.dtype());
    if !dtype.is_attention_type() {
        return Err(Error::UnsupportedDType { arg: "x", got: dtype });
    }
    for (arg, tensor) in [("x", &x), ("weight", &weight), ("y", &y.as_ref())] {
        check::location(arg, tensor.location(), location)?;
        check::dtype(arg, tensor.dtype(), dtype)?;
        check::alignment(arg, tensor.address(), dtype.size())?;
    }
    if x.shape().len() == 2 {
        check::rank("weight", weight.shape(), 2)?;
        check::rank("y", y.shape(), 2)?;
    }
    let (x, weight, y) = (batched("x", x)?, batched("weight", weight)?, batched_mut(y)?);
    let [batch, m, k] = [0, 1, 2].map(|axis| x.shape()[axis]);
    check::axis("weight", "batch", weight.shape()[0], batch)?;
    check::axis("weight", "k", weight.shape()[2], k)?;
    let n = ("n", weight.shape()[1]);
    check::shape("y", y.shape(), [("batch", batch), ("m", m), n])?;
    Product::new(x, weight, y, None)
}

/// A batch of one, of a matrix.
fn batched<'a>(arg: &'static str, tensor: TensorRef<'a>) -> Result<TensorRef<'a>> {
    let (shape, strides) = (tensor.shape(), tensor.strides());
    if shape.len() != 2 {
        check::rank(arg, shape, 3)?;
        return Ok(tensor);
    }
    let (shape, strides) = ([1, shape[0], shape[1]], [0, strides[0], strides[1]]);
    // SAFETY: the elements of the tensor, for as long.
    unsafe {
        TensorRef::from_raw(tensor.address(), tensor.dtype(), &shape, &strides, tensor.location())
    }
}

/// As [`batched`], to write.
fn batched_mut(tensor: TensorMut<'_>) -> Result<TensorMut<'_>> {
    let (shape, strides) = (tensor.shape(), tensor.strides());
    if shape.len() != 2 {
        check::rank("y", shape, 3)?;
        return Ok(tensor);
    }
    let (shape, strides) = ([1, shape[0], shape[1]], [0, strides[0], strides[1]]);
    // SAFETY: the elements of the tensor, for as long; the view given away is not used any more.
    unsafe {
        TensorMut::from_raw(tensor.address(), tensor.dtype(), &shape, &strides, tensor.location())
    }
}
