//! Cached tokens as contiguous rows.

#[cfg(feature = "cuda")]
use oxmla_kernels::cache::abi::GatherParams;

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
use crate::error::Result;
use crate::stream::StreamRef;
use crate::tensor::{TensorMut, TensorRef};

/// Cached tokens, from the first of each request on, and where they go. All tensors are on one device.
#[derive(Debug)]
pub struct GatherRows<'a> {
    /// The cache: `[blocks, block size, 1, 576]`, or `[blocks, block size, 1, 656, 644 or 584]` of an FP8 format, whose blocks are
    /// whole.
    pub kv_cache: TensorRef<'a>,
    /// Block ids of each request: `[batch, max_blocks] i32`.
    pub block_table: TensorRef<'a>,
    /// Where the rows of each request begin in `out`, and where the last ones end: `[batch + 1] i32`, from 0 on and
    /// never falling.
    pub offsets: TensorRef<'a>,
    /// The rows: `[tokens, 576]` of the cache's type. Out of an FP8 cache bf16 or f16, `[tokens, 512]` if it is
    /// [`Paged584`](super::Fp8Format::Paged584). Those behind the last offset stay as they are.
    pub out: TensorMut<'a>,
}

/// Copies cached tokens out of their blocks, all requests with one launch: row `offsets[r] + i` becomes the token at
/// position `i` of request `r`.
///
/// On a GPU the call starts the work in the order of `stream` and returns: it allocates nothing and waits for
/// nothing, and can be captured in a graph. A GPU needs innermost axes that are contiguous, and addresses and strides
/// of `kv_cache` and `out` that are multiples of 16 bytes. The CPU follows any strides, and so does the simulator.
///
/// Elements of an FP8 cache are multiplied by their scale in f32 and rounded once; every device gives the same.
///
/// # Errors
/// As for [`append`](super::append()), where they concern these tensors. A GPU leaves rows as they were whose
/// offsets or ids make no sense.
pub fn gather(device: &Device, stream: StreamRef<'_>, args: GatherRows<'_>) -> Result<()> {
    args.check(device, stream)?;
    match device {
        Device::Cpu(_) => cpu::cache::gather(&args, &args.runs()?),
        #[cfg(feature = "sim")]
        Device::Sim(simulator) => {
            args.runs()?;
            sim::cache::gather(*simulator, &args)?;
        }
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => {
            args.check_gpu_layout()?;
            let format = CacheFormat::of(&args.kv_cache)?;
            cuda::launch_gather(device, stream.raw(), (format, args.out.dtype()), &args.params())?;
        }
    }
    Ok(())
}

impl GatherRows<'_> {
    fn rows(&self) -> usize {
        self.out.shape()[0]
    }

    /// Checks that every device makes.
    fn check(&self, device: &Device, stream: StreamRef<'_>) -> Result<()> {
        let location = device.location();
        check::location("stream", stream.location(), location)?;
        let format = checks::cache(&self.kv_cache, location)?;
        let dtype = match format {
            CacheFormat::Elements(dtype) => dtype,
            CacheFormat::Fp8(_) => self.out.dtype(),
        };
        checks::attention_type("out", dtype)?;
        checks::tensor("out", &self.out.as_ref(), location, dtype)?;
        check::rank("out", self.out.shape(), 2)?;
        check::axis("out", "d_qk", self.out.shape()[1], format.d_qk())?;
        check::range("tokens", self.rows() as i128, 0, i32::MAX)?;
        let batch = checks::table(&self.block_table, location)?;
        checks::offsets("offsets", &self.offsets, location, batch)
    }

    /// The rows of each request, with indices that the host can read, checked.
    fn runs(&self) -> Result<Vec<Run>> {
        let requests = runs::by_offsets("offsets", &self.offsets, self.rows())?;
        let runs = runs::from_the_start(requests);
        let blocks = [0, 1].map(|axis| self.kv_cache.shape()[axis]);
        runs::check_blocks(&runs, &self.block_table, blocks)?;
        Ok(runs)
    }

    /// Refuses layouts that the kernel cannot follow.
    #[cfg(feature = "cuda")]
    fn check_gpu_layout(&self) -> Result<()> {
        gpu_layout::cache(&self.kv_cache)?;
        gpu_layout::rows("out", &self.out.as_ref(), 16)?;
        gpu_layout::table(&self.block_table)?;
        gpu_layout::packed("offsets", &self.offsets, 4)
    }

    #[cfg(feature = "cuda")]
    fn params(&self) -> GatherParams {
        GatherParams {
            pages: gpu_layout::pages(&self.kv_cache, &self.block_table),
            offsets: self.offsets.address(),
            out: self.out.address(),
            out_stride: self.out.strides()[0] as u64,
            rows: self.rows() as u32,
            batch: self.block_table.shape()[0] as u32,
        }
    }
}
