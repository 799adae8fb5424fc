//! Memory through which CTAs that share a tile exchange their sums.

#[cfg(feature = "cuda")]
use oxmla_kernels::gemm::tiling::Tiling;

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
    /// Partial sums, then counters, zero between launches; only on a GPU.
    buffer: Option<Buffer>,
    /// Offset of the counters, in bytes.
    #[cfg(feature = "cuda")]
    counters: usize,
    #[cfg(feature = "cuda")]
    multiprocessors: u32,
}

impl Workspace {
    /// Allocates it.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), or [`Error::Driver`](crate::Error::Driver).
    pub fn new(device: &Device) -> Result<Self> {
        let location = device.location();
        match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => {
                let multiprocessors = gpu.multiprocessors();
                let counters = Tiling::most_partial_bytes(multiprocessors) as usize;
                let counter_bytes = 4 * multiprocessors as usize;
                let mut buffer = device.alloc(counters + counter_bytes)?;
                buffer.write(counters, &vec![0; counter_bytes])?;
                Ok(Self { location, buffer: Some(buffer), counters, multiprocessors })
            }
            _ => Ok(Self {
                location,
                buffer: None,
                #[cfg(feature = "cuda")]
                counters: 0,
                #[cfg(feature = "cuda")]
                multiprocessors: 0,
            }),
        }
    }

    /// Bytes on the device.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.buffer.as_ref().map_or(0, Buffer::len_bytes)
    }

    /// Where it is.
    #[must_use]
    pub const fn location(&self) -> Location {
        self.location
    }

    /// Multiprocessors of the GPU that it was made for.
    #[cfg(feature = "cuda")]
    pub(crate) const fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// Address of the partial sums, and of the counters.
    #[cfg(feature = "cuda")]
    pub(crate) fn addresses(&self) -> [u64; 2] {
        let start = self.buffer.as_ref().map_or(0, Buffer::address);
        [start, start + self.counters as u64]
    }
}
