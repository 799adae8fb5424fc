//! Memory through which CTAs that share a tile exchange their sums.

use oxmla_kernels::family::Family;
#[cfg(feature = "cuda")]
use oxmla_kernels::gemm::{config::COUNTER_STRIDE, tiling::Tiling};

#[cfg(feature = "cuda")]
use crate::backend::cuda::CudaDevice;
#[cfg(feature = "cuda")]
use crate::buffer::Buffer;
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Location;

/// What matrix products of any shape need of a device's memory: 17 MB on an H100, nothing on a CPU.
///
/// Products that use it must not run side by side: one workspace for each stream.
#[derive(Debug)]
pub struct Workspace {
    location: Location,
    #[cfg(feature = "cuda")]
    gpu: Option<GpuMemory>,
}

/// Partial sums, then counters, which are zero between launches.
#[cfg(feature = "cuda")]
#[derive(Debug)]
pub(crate) struct GpuMemory {
    buffer: Buffer,
    /// Offset of the counters, in bytes.
    counters: usize,
    /// Of the GPU that it is for.
    pub multiprocessors: u32,
}

impl Workspace {
    /// Allocates it.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), [`Error::Driver`](crate::Error::Driver), or
    /// [`Error::ModuleLoad`](crate::Error::ModuleLoad): the first one loads the kernels, see [`Device::load`].
    pub fn new(device: &Device) -> Result<Self> {
        device.load(Family::Gemm)?;
        Ok(Self {
            location: device.location(),
            #[cfg(feature = "cuda")]
            gpu: match device {
                Device::Cuda(gpu) => Some(GpuMemory::new(device, gpu)?),
                _ => None,
            },
        })
    }

    /// Bytes on the device.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &self.gpu {
            return gpu.buffer.len_bytes();
        }
        0
    }

    /// Where it is.
    #[must_use]
    pub const fn location(&self) -> Location {
        self.location
    }

    /// The memory, if it is a GPU's.
    #[cfg(feature = "cuda")]
    pub(crate) const fn gpu(&self) -> Option<&GpuMemory> {
        self.gpu.as_ref()
    }
}

#[cfg(feature = "cuda")]
impl GpuMemory {
    fn new(device: &Device, gpu: &CudaDevice) -> Result<Self> {
        let multiprocessors = gpu.multiprocessors();
        let counters = Tiling::most_partial_bytes(multiprocessors) as usize;
        // Tiles that are shared are fewer than multiprocessors.
        let counter_bytes = 4 * (COUNTER_STRIDE * multiprocessors) as usize;
        let mut buffer = device.alloc(counters + counter_bytes)?;
        buffer.write(counters, &vec![0; counter_bytes])?;
        Ok(Self { buffer, counters, multiprocessors })
    }

    /// Address of the partial sums, and of the counters.
    pub fn addresses(&self) -> [u64; 2] {
        let start = self.buffer.address();
        [start, start + self.counters as u64]
    }
}
