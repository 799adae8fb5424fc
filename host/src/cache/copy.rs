//! Copies of whole blocks.

#[cfg(feature = "cuda")]
use oxmla_kernels::cache::abi::CopyBlocksParams;

use super::checks;
#[cfg(feature = "cuda")]
use super::gpu_layout;
use super::runs::index_at;
use crate::backend::cpu;
#[cfg(feature = "cuda")]
use crate::backend::cuda;
#[cfg(feature = "sim")]
use crate::backend::sim;
use crate::check;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::stream::StreamRef;
use crate::tensor::{TensorMut, TensorRef};

/// KV heads whose blocks a launch can copy: `gridDim.y` has 16 bits, and a head of a block, of 128 tokens, at most twelve
/// CTAs.
const MAX_KV_HEADS: usize = 65_535 / 12;

/// Blocks to copy inside a cache, as [`BlockPool::append`](super::BlockPool::append) asks for after a fork. Both
/// tensors are on one device.
#[derive(Debug)]
pub struct CopyBlocks<'a> {
    /// Ids of the block to read and of the block to write: `[copies, 2] i32`. No block that is written is in another
    /// pair: copies have no order.
    pub pairs: TensorRef<'a>,
    /// The cache: `[blocks, block size, h_k, 576]`, or `[blocks, block size, 1, 656, 644 or 584]` of an FP8 format, whose blocks are
    /// whole.
    pub kv_cache: TensorMut<'a>,
}

/// Copies blocks, all with one launch.
///
/// On a GPU the call starts the work in the order of `stream` and returns: it allocates nothing and waits for
/// nothing, and can be captured in a graph. A GPU needs blocks that are contiguous and begin at multiples of 16
/// bytes. The CPU follows any strides, and so does the simulator.
///
/// # Errors
/// - [`LocationMismatch`](Error::LocationMismatch), [`DTypeMismatch`](Error::DTypeMismatch),
///   [`UnsupportedDType`](Error::UnsupportedDType), [`UnknownFormat`](Error::UnknownFormat),
///   [`UnsupportedBlockSize`](Error::UnsupportedBlockSize),
///   [`RankMismatch`](Error::RankMismatch),
///   [`ShapeMismatch`](Error::ShapeMismatch), [`OutOfRange`](Error::OutOfRange) if a tensor is not what its field
///   says.
/// - [`Misaligned`](Error::Misaligned), [`MisalignedStride`](Error::MisalignedStride),
///   [`StrideMismatch`](Error::StrideMismatch) if the device cannot follow the layout of a tensor.
/// - On the CPU and the simulator, where pairs can be read, [`OutOfRange`](Error::OutOfRange) for an id of no block.
///   A GPU leaves such pairs out.
///
/// All of these leave the cache as it was; [`Driver`](Error::Driver) may not.
pub fn copy_blocks(device: &Device, stream: StreamRef<'_>, args: CopyBlocks<'_>) -> Result<()> {
    args.check(device, stream)?;
    match device {
        Device::Cpu(_) => cpu::cache::copy_blocks(&args, &args.copies()?),
        #[cfg(feature = "sim")]
        Device::Sim(simulator) => {
            args.copies()?;
            sim::cache::copy_blocks(*simulator, &args)?;
        }
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => {
            args.check_gpu_layout()?;
            let copies = args.pairs.shape()[0] as u32;
            cuda::launch_copy_blocks(device, stream.raw(), copies, &args.params())?;
        }
    }
    Ok(())
}

impl CopyBlocks<'_> {
    /// Checks that every device makes.
    fn check(&self, device: &Device, stream: StreamRef<'_>) -> Result<()> {
        let location = device.location();
        check::location("stream", stream.location(), location)?;
        checks::cache_of_heads(&self.kv_cache.as_ref(), location)?;
        check::range("h_k", self.kv_cache.shape()[2] as i128, 1, MAX_KV_HEADS as i128)?;
        checks::tensor("pairs", &self.pairs, location, DType::I32)?;
        check::rank("pairs", self.pairs.shape(), 2)?;
        check::axis("pairs", "from and to", self.pairs.shape()[1], 2)?;
        check::range("copies", self.pairs.shape()[0] as i128, 0, i32::MAX)
    }

    /// Block to read and block to write of each pair, with ids that the host can read, checked.
    fn copies(&self) -> Result<Vec<[usize; 2]>> {
        let max = self.kv_cache.shape()[0] as i128 - 1;
        let block = |pair: usize, side: usize| {
            let got = index_at(&self.pairs, [pair, side]).into();
            let fits = (0..=max).contains(&got);
            let refused = Error::OutOfRange { arg: ["from", "to"][side], min: 0, max, got };
            if fits { Ok(got as usize) } else { Err(refused) }
        };
        (0..self.pairs.shape()[0]).map(|pair| Ok([block(pair, 0)?, block(pair, 1)?])).collect()
    }

    /// Refuses layouts that the kernel cannot follow.
    #[cfg(feature = "cuda")]
    fn check_gpu_layout(&self) -> Result<()> {
        gpu_layout::cache_of_blocks(&self.kv_cache.as_ref())?;
        gpu_layout::packed("pairs", &self.pairs, 4)
    }

    /// Bytes of a block, all KV heads together.
    #[cfg(any(feature = "cuda", feature = "sim"))]
    pub(crate) fn bytes_per_block(&self) -> usize {
        let elements: usize = self.kv_cache.shape()[1..].iter().product();
        elements * self.kv_cache.dtype().size()
    }

    #[cfg(feature = "cuda")]
    fn params(&self) -> CopyBlocksParams {
        CopyBlocksParams {
            cache: self.kv_cache.address(),
            block_stride: (self.kv_cache.strides()[0] * self.kv_cache.dtype().size()) as u64,
            pairs: self.pairs.address(),
            blocks: self.kv_cache.shape()[0] as u32,
            vectors: (self.bytes_per_block() / 16) as u32,
        }
    }
}
