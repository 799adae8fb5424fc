//! New tokens into the cache.

#[cfg(feature = "cuda")]
use oxmla_kernels::cache::abi::AppendParams;
use oxmla_kernels::decode::dense::config::D_ROPE;

use super::checks;
#[cfg(feature = "cuda")]
use super::gpu_layout;
use super::layout::CacheFormat;
use super::runs::{self, Run};
use crate::backend::cpu;
#[cfg(feature = "cuda")]
use crate::backend::cuda;
#[cfg(feature = "sim")]
use crate::backend::sim;
use crate::check;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::norm::RmsNorm;
use crate::rope::ROPE_PAIRS;
use crate::stream::StreamRef;
use crate::tensor::{TensorMut, TensorRef};

/// The rows of a step's new tokens, and the paged cache that they go to. All tensors are on one device.
///
/// Rows stand in the order of their requests. The last row of a request is that of its last token, at position
/// `length − 1`; a row that would be before the first token is left out.
#[derive(Debug)]
pub struct AppendRows<'a> {
    /// Latent parts: `[tokens, 512]` of the cache's type. For an FP8 cache bf16 or f16, `[tokens, 448]` if it is
    /// [`Paged584`](super::Fp8Format::Paged584).
    pub latent: TensorRef<'a>,
    /// Rotary parts: `[tokens, 64]` of the same type.
    pub rope: TensorRef<'a>,
    /// How latent parts are normalised; `None` if they are.
    pub norm: Option<RmsNorm<'a>>,
    /// Cosines and sines by which rotary parts are turned: `[positions, 32, 2] f32`, as
    /// [`Rope::table`](crate::Rope::table) gives them; `None` if they are turned. Elements `2 i` and `2 i + 1` are
    /// turned against each other, and stay where they are.
    pub rotations: Option<TensorRef<'a>>,
    /// Tokens of each request, the new ones included: `[batch] i32`. A planner has them on the device:
    /// [`Planner::lengths`](crate::Planner::lengths).
    pub lengths: TensorRef<'a>,
    /// Block ids of each request: `[batch, max_blocks] i32`; see
    /// [`Planner::block_table`](crate::Planner::block_table).
    pub block_table: TensorRef<'a>,
    /// Where the rows of each request begin, and where the last ones end: `[batch + 1] i32`, from 0 on and never
    /// falling. Rows behind the last offset are left out. `None` if every request has as many.
    pub offsets: Option<TensorRef<'a>>,
    /// What scales an FP8 cache gets; without meaning for others.
    pub scales: Scales,
    /// The cache: `[blocks, block size, 1, 576]`, or `[blocks, block size, 1, 656, 644 or 584]` of an FP8 format, whose blocks are
    /// whole.
    pub kv_cache: TensorMut<'a>,
}

/// Scales of the tiles of an FP8 cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scales {
    /// What makes the tile's largest element 448, where the format allows it: in
    /// [`Token656`](super::Fp8Format::Token656).
    #[default]
    Exact,
    /// The next power of two: dequantising is exact then.
    PowerOfTwo,
}

/// Writes the rows of new tokens to their slots in the cache, all requests with one launch.
///
/// On a GPU the call starts the work in the order of `stream` and returns: it allocates nothing and waits for
/// nothing, and can be captured in a graph. Slots are computed on the device, from the lengths and the block table
/// that it finds there when the work runs. A GPU follows strides as far as its loads can: innermost axes
/// contiguous, addresses and strides of `latent` and `kv_cache` multiples of 16 bytes, those of `rope` of 4,
/// everything else without gaps. The CPU follows any, and so does the simulator; but only blocks of an FP8 cache may have
/// gaps between them.
///
/// Into an FP8 cache, the latent part goes quantised, after a normalisation as it is, in f32; the rope part as bf16.
/// How is said at [`Fp8Format`](super::Fp8Format). Without normalisation every device writes the same bytes.
///
/// Two rows must not have the same slot: which of them stays is not said.
///
/// # Errors
/// - [`LocationMismatch`](crate::Error::LocationMismatch) if a tensor or the stream is of another device.
/// - [`DTypeMismatch`](crate::Error::DTypeMismatch), [`UnsupportedDType`](crate::Error::UnsupportedDType),
///   [`RankMismatch`](crate::Error::RankMismatch), [`ShapeMismatch`](crate::Error::ShapeMismatch),
///   [`UnsupportedBlockSize`](crate::Error::UnsupportedBlockSize), [`UnknownFormat`](crate::Error::UnknownFormat), [`OutOfRange`](crate::Error::OutOfRange) if a tensor is not what its field says.
/// - [`InvalidNumber`](crate::Error::InvalidNumber) if `eps` is negative or not finite.
/// - [`Misaligned`](crate::Error::Misaligned), [`MisalignedStride`](crate::Error::MisalignedStride),
///   [`StrideMismatch`](crate::Error::StrideMismatch) if the device cannot follow the layout of a tensor.
/// - On the CPU and the simulator, where lengths, offsets and ids can be read,
///   [`NegativeLength`](crate::Error::NegativeLength), [`LengthBeyondTable`](crate::Error::LengthBeyondTable),
///   [`BlockOutOfPool`](crate::Error::BlockOutOfPool), and [`OutOfRange`](crate::Error::OutOfRange) for offsets, and for lengths
///   beyond the rotations. A GPU leaves such rows out, and never writes elsewhere.
///
/// All of these leave the cache as it was; [`Driver`](crate::Error::Driver) may not.
pub fn append(device: &Device, stream: StreamRef<'_>, args: AppendRows<'_>) -> Result<()> {
    args.check(device, stream)?;
    match device {
        Device::Cpu(_) => cpu::cache::append(&args, &args.runs()?),
        #[cfg(feature = "sim")]
        Device::Sim(simulator) => {
            args.runs()?;
            sim::cache::append(*simulator, &args)?;
        }
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => {
            args.check_gpu_layout()?;
            let format = CacheFormat::of(&args.kv_cache.as_ref())?;
            cuda::launch_append(
                device,
                stream.raw(),
                (format, args.latent.dtype()),
                &args.params(),
            )?;
        }
    }
    Ok(())
}

impl AppendRows<'_> {
    fn rows(&self) -> usize {
        self.latent.shape()[0]
    }

    /// Checks that every device makes.
    fn check(&self, device: &Device, stream: StreamRef<'_>) -> Result<()> {
        let location = device.location();
        check::location("stream", stream.location(), location)?;
        let format = checks::cache(&self.kv_cache.as_ref(), location)?;
        let dtype = match format {
            CacheFormat::Elements(dtype) => dtype,
            CacheFormat::Fp8(_) => self.latent.dtype(),
        };
        checks::attention_type("latent", dtype)?;
        checks::tensor("latent", &self.latent, location, dtype)?;
        checks::tensor("rope", &self.rope, location, dtype)?;
        check::rank("latent", self.latent.shape(), 2)?;
        check::axis("latent", "latent", self.latent.shape()[1], format.latent())?;
        let tokens = ("tokens", self.rows());
        check::shape("rope", self.rope.shape(), [tokens, ("rope", D_ROPE as usize)])?;
        check::range("tokens", self.rows() as i128, 0, i32::MAX)?;
        if let Some(norm) = &self.norm {
            norm.check(location, dtype, format.latent())?;
        }
        if let Some(rotations) = &self.rotations {
            checks::tensor("rotations", rotations, location, DType::F32)?;
            check::rank("rotations", rotations.shape(), 3)?;
            let positions = ("positions", rotations.shape()[0]);
            let pair = [positions, ("pairs", ROPE_PAIRS), ("cosine and sine", 2)];
            check::shape("rotations", rotations.shape(), pair)?;
            check::range("positions", positions.1 as i128, 0, i32::MAX)?;
        }
        let batch = checks::table(&self.block_table, location)?;
        checks::tensor("lengths", &self.lengths, location, DType::I32)?;
        check::shape("lengths", self.lengths.shape(), [("batch", batch)])?;
        match &self.offsets {
            Some(offsets) => checks::offsets("offsets", offsets, location, batch),
            None => {
                let rest = self.rows().checked_rem(batch).unwrap_or(self.rows());
                check::axis("latent", "tokens", self.rows(), self.rows() - rest)
            }
        }
    }

    /// The rows of each request, with indices that the host can read, checked.
    fn runs(&self) -> Result<Vec<Run>> {
        let requests = match &self.offsets {
            Some(offsets) => runs::by_offsets("offsets", offsets, self.rows())?,
            None => runs::evenly(self.lengths.shape()[0], self.rows()),
        };
        let positions = self.rotations.map(|rotations| rotations.shape()[0]);
        let runs = runs::at_the_end(requests, &self.lengths, positions)?;
        let blocks = [0, 1].map(|axis| self.kv_cache.shape()[axis]);
        runs::check_blocks(&runs, &self.block_table, blocks)?;
        Ok(runs)
    }

    /// Refuses layouts that the kernel cannot follow.
    #[cfg(feature = "cuda")]
    fn check_gpu_layout(&self) -> Result<()> {
        gpu_layout::cache(&self.kv_cache.as_ref())?;
        gpu_layout::rows("latent", &self.latent, 16)?;
        gpu_layout::rows("rope", &self.rope, 4)?;
        if let Some(norm) = &self.norm {
            gpu_layout::packed("weight", &norm.weight, 16)?;
        }
        if let Some(rotations) = &self.rotations {
            gpu_layout::packed("rotations", rotations, 8)?;
        }
        gpu_layout::table(&self.block_table)?;
        gpu_layout::packed("lengths", &self.lengths, 4)?;
        self.offsets.map_or(Ok(()), |offsets| gpu_layout::packed("offsets", &offsets, 4))
    }

    #[cfg(feature = "cuda")]
    fn params(&self) -> AppendParams {
        let batch = self.lengths.shape()[0] as u32;
        let address = |tensor: Option<TensorRef<'_>>| tensor.map_or(0, |tensor| tensor.address());
        AppendParams {
            pages: gpu_layout::pages(&self.kv_cache.as_ref(), &self.block_table),
            latent: self.latent.address(),
            latent_stride: self.latent.strides()[0] as u64,
            rope: self.rope.address(),
            rope_stride: self.rope.strides()[0] as u64,
            lengths: self.lengths.address(),
            offsets: address(self.offsets),
            weight: address(self.norm.map(|norm| norm.weight)),
            rotations: address(self.rotations),
            rows: self.rows() as u32,
            batch,
            rows_per_request: (self.rows() as u32).checked_div(batch).unwrap_or(0),
            positions: self.rotations.map_or(0, |rotations| rotations.shape()[0]) as u32,
            eps: self.norm.map_or(0.0, |norm| norm.eps),
            power_of_two_scales: (self.scales == Scales::PowerOfTwo).into(),
        }
    }
}
