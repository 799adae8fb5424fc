//! Rows normalised by the root of their mean square: what `q_a_layernorm` of a layer does, or the norm before it.
//!
//! Where rows go into the cache, [`cache::append`](crate::cache::append()) normalises them on the way.

#[cfg(feature = "cuda")]
use oxmla_kernels::norm::abi::NormParams;

use crate::backend::cpu;
#[cfg(feature = "cuda")]
use crate::backend::cuda;
#[cfg(feature = "sim")]
use crate::backend::sim;
#[cfg(feature = "cuda")]
use crate::cache::gpu_layout;
use crate::check;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::stream::StreamRef;
use crate::tensor::{Location, TensorMut, TensorRef};

/// Elements by which a GPU loads and stores: widths are multiples of it.
#[cfg(any(feature = "cuda", feature = "sim"))]
const VECTOR: usize = 8;

/// Normalisation by the root of the mean square: `x · weight / sqrt(mean(x²) + eps)`, in f32 and rounded once.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm<'a> {
    /// `[width]` of the type of the rows: `kv_a_layernorm.weight` of a checkpoint, or `q_a_layernorm.weight`.
    pub weight: TensorRef<'a>,
    /// Added to the mean square; 1e-6 for DeepSeek-V3.
    pub eps: f32,
}

/// Rows to normalise. All tensors are on one device and of one type, bf16 or f16.
#[derive(Debug)]
pub struct NormaliseRows<'a> {
    /// `[rows, width]`.
    pub x: TensorRef<'a>,
    /// How.
    pub norm: RmsNorm<'a>,
    /// `[rows, width]`. It may not share memory with `x`.
    pub y: TensorMut<'a>,
}

/// Normalises each row by itself, all rows with one launch.
///
/// On a GPU the call starts the work in the order of `stream` and returns: it allocates nothing and waits for nothing,
/// and can be captured in a graph. There, and in the simulator, the width is a multiple of 8. A GPU wants columns to be
/// contiguous, and addresses and strides of rows to be multiples of 16 bytes; CPU and simulator follow any strides.
///
/// # Errors
/// - [`LocationMismatch`](Error::LocationMismatch) if a tensor or the stream is of another device.
/// - [`UnsupportedDType`](Error::UnsupportedDType), [`DTypeMismatch`](Error::DTypeMismatch),
///   [`RankMismatch`](Error::RankMismatch), [`ShapeMismatch`](Error::ShapeMismatch),
///   [`OutOfRange`](Error::OutOfRange) if a tensor is not what its field says.
/// - [`InvalidNumber`](Error::InvalidNumber) if `eps` is negative or not finite, or the width is no multiple of 8 where
///   it must be one.
/// - [`Misaligned`](Error::Misaligned), [`MisalignedStride`](Error::MisalignedStride),
///   [`StrideMismatch`](Error::StrideMismatch) if a GPU cannot follow the layout of a tensor.
///
/// All of these leave `y` as it was; [`Driver`](Error::Driver) may not.
pub fn normalise_rows(
    device: &Device,
    stream: StreamRef<'_>,
    args: NormaliseRows<'_>,
) -> Result<()> {
    args.check(device, stream)?;
    match device {
        Device::Cpu(_) => {
            cpu::norm::normalise_rows(&args.x, &args.norm.weight, args.norm.eps, &args.y);
            Ok(())
        }
        #[cfg(feature = "sim")]
        Device::Sim(simulator) => {
            args.check_width()?;
            sim::norm::normalise_rows(*simulator, &args)
        }
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => {
            args.check_width()?;
            gpu_layout::rows("x", &args.x, 2 * VECTOR)?;
            gpu_layout::rows("y", &args.y.as_ref(), 2 * VECTOR)?;
            gpu_layout::packed("weight", &args.norm.weight, 2 * VECTOR)?;
            cuda::launch_norm(device, stream.raw(), args.x.dtype(), &args.params())
        }
    }
}

impl NormaliseRows<'_> {
    /// Checks that every device makes.
    fn check(&self, device: &Device, stream: StreamRef<'_>) -> Result<()> {
        let (location, dtype) = (device.location(), self.x.dtype());
        check::location("stream", stream.location(), location)?;
        if !dtype.is_attention_type() {
            return Err(Error::UnsupportedDType { arg: "x", got: dtype });
        }
        let y = self.y.as_ref();
        for (arg, tensor) in [("x", &self.x), ("y", &y)] {
            check::location(arg, tensor.location(), location)?;
            check::dtype(arg, tensor.dtype(), dtype)?;
            check::alignment(arg, tensor.address(), dtype.size())?;
        }
        check::rank("x", self.x.shape(), 2)?;
        let [rows, width] = [self.x.shape()[0], self.x.shape()[1]];
        check::range("rows", rows as i128, 0, i32::MAX)?;
        check::range("width", width as i128, 1, i32::MAX)?;
        check::shape("y", y.shape(), [("rows", rows), ("width", width)])?;
        self.norm.check(location, dtype, width)
    }

    /// Refuses widths that are not whole vectors.
    #[cfg(any(feature = "cuda", feature = "sim"))]
    fn check_width(&self) -> Result<()> {
        let width = self.x.shape()[1];
        if width.is_multiple_of(VECTOR) {
            return Ok(());
        }
        let (expected, got) = ("a multiple of 8", width as f64);
        Err(Error::InvalidNumber { arg: "width", expected, got })
    }

    #[cfg(feature = "cuda")]
    fn params(&self) -> NormParams {
        let width = self.x.shape()[1];
        NormParams {
            x: self.x.address(),
            x_stride: self.x.strides()[0] as u64,
            y: self.y.address(),
            y_stride: self.y.strides()[0] as u64,
            weight: self.norm.weight.address(),
            rows: self.x.shape()[0] as u32,
            width: width as u32,
            inverse_width: (width as f32).recip(),
            eps: self.norm.eps,
        }
    }
}

impl RmsNorm<'_> {
    /// Refuses weights that are not those of rows of `width` elements of type `dtype`.
    pub(crate) fn check(&self, location: Location, dtype: DType, width: usize) -> Result<()> {
        check::location("weight", self.weight.location(), location)?;
        check::dtype("weight", self.weight.dtype(), dtype)?;
        check::alignment("weight", self.weight.address(), dtype.size())?;
        check::shape("weight", self.weight.shape(), [("width", width)])?;
        if self.eps.is_finite() && self.eps >= 0.0 {
            return Ok(());
        }
        let (expected, got) = ("finite and at least 0", self.eps.into());
        Err(Error::InvalidNumber { arg: "eps", expected, got })
    }
}
