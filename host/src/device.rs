//! Devices.

use oxmla_kernels::family::Family;

use crate::backend::cpu::{Cpu, Precision};
use crate::buffer::Buffer;
use crate::dtype::Element;
use crate::error::Result;
use crate::stream::Stream;
use crate::tensor::Location;

/// Something that can run attention. Clones are cheap and mean the same device, on every thread: any number of threads
/// may open it, allocate and launch at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Device {
    /// The threads of this process.
    Cpu(Cpu),
    /// An NVIDIA GPU.
    #[cfg(feature = "cuda")]
    Cuda(crate::backend::cuda::CudaDevice),
    /// A GPU's kernels on the threads of this process, to find what is wrong with them.
    #[cfg(feature = "sim")]
    Sim(crate::backend::sim::Simulator),
}

/// A device that is there, usable or not.
#[derive(Debug)]
pub struct Candidate {
    /// How to call it: `CPU`, or `GPU` and its number.
    pub label: String,
    /// The device, or why it cannot be used.
    pub device: Result<Device>,
}

impl Device {
    /// The CPU, computing in f32.
    #[must_use]
    pub const fn cpu() -> Self {
        Self::Cpu(Cpu { precision: Precision::F32 })
    }

    /// The CPU, computing in f64 with plain loops: slow, and as exact as a reference can be.
    #[must_use]
    pub const fn oracle() -> Self {
        Self::Cpu(Cpu { precision: Precision::F64 })
    }

    /// A simulated GPU, as [`Simulator`](crate::backend::sim::Simulator) is by default.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn simulator() -> Self {
        Self::Sim(crate::backend::sim::Simulator::default())
    }

    /// GPU number `ordinal`.
    ///
    /// # Errors
    /// - [`Error::NoDriver`](crate::Error::NoDriver) on a machine without an NVIDIA driver, and in a build
    ///   without the `cuda` feature.
    /// - [`Error::OutOfRange`](crate::Error::OutOfRange) if there is no such GPU.
    /// - [`Error::UnsupportedDevice`](crate::Error::UnsupportedDevice) if it is not of the Hopper
    ///   generation.
    /// - [`Error::OldDriver`](crate::Error::OldDriver) if the driver is too old for the kernels.
    pub fn cuda(ordinal: u32) -> Result<Self> {
        #[cfg(feature = "cuda")]
        return crate::backend::cuda::CudaDevice::open(ordinal).map(Self::Cuda);
        #[cfg(not(feature = "cuda"))]
        {
            let reason = format!("GPU {ordinal} needs a build with the `cuda` feature");
            Err(crate::error::Error::NoDriver { reason })
        }
    }

    /// The first usable GPU, else the CPU.
    #[must_use]
    pub fn best() -> Self {
        (0..gpu_count()).find_map(|ordinal| Self::cuda(ordinal).ok()).unwrap_or_else(Self::cpu)
    }

    /// Everything there is, GPUs first, the CPU last. Without an NVIDIA driver, GPU 0 is listed with the
    /// reason.
    #[must_use]
    pub fn all() -> Vec<Candidate> {
        let gpu =
            |ordinal| Candidate { label: format!("GPU {ordinal}"), device: Self::cuda(ordinal) };
        let cpu = Candidate { label: "CPU".into(), device: Ok(Self::cpu()) };
        (0..gpu_count()).map(gpu).chain([cpu]).collect()
    }

    /// Loads the kernels of a family on a GPU, unless they are. Elsewhere there is nothing to load.
    ///
    /// No program has to: what is made for kernels loads them. [`Planner::new`](crate::Planner::new) does so for decode
    /// of its type, and [`Planner::plan`](crate::Planner::plan) for windows;
    /// [`SparsePlanner::new`](crate::SparsePlanner::new), [`gemm::Workspace::new`](crate::gemm::Workspace::new),
    /// [`LatentCache::new`](crate::LatentCache::new) for rows of its format, and for decode over FP8, if there is a
    /// planner, as the planner does, if there is a cache. What is left to the first call of its kind is decode with a
    /// soft cap, sparse prefill, and whatever works on caches that no [`LatentCache`](crate::LatentCache) is behind.
    /// Such a call loads what it needs, also while its stream is being captured, and takes its time that once: the
    /// driver compiles a family when it meets it first on a machine, and keeps the result. A program that wants that
    /// to happen earlier loads the family itself.
    ///
    /// # Errors
    /// [`Error::ModuleLoad`](crate::Error::ModuleLoad) with the log of the driver's compiler, or
    /// [`Error::Driver`](crate::Error::Driver). A later call tries again.
    #[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "only GPUs load kernels"))]
    pub fn load(&self, family: Family) -> Result<()> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => device.load(family),
            _ => Ok(()),
        }
    }

    /// Memory for `bytes` bytes. What is in it is unspecified.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), or [`Error::Driver`](crate::Error::Driver).
    pub fn alloc(&self, bytes: usize) -> Result<Buffer> {
        match self {
            Self::Cpu(_) => Buffer::host(bytes),
            #[cfg(feature = "sim")]
            Self::Sim(_) => Buffer::host(bytes),
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => Ok(Buffer::cuda(device.alloc(bytes)?, device.ordinal())),
        }
    }

    /// Memory for `bytes` bytes, all zero.
    ///
    /// # Errors
    /// As for [`Device::alloc`].
    pub fn alloc_zeroed(&self, bytes: usize) -> Result<Buffer> {
        let mut buffer = self.alloc(bytes)?;
        // Host memory comes zeroed from the system, untouched.
        if buffer.location() != Location::Host {
            buffer.fill(0)?;
        }
        Ok(buffer)
    }

    /// Memory that holds `values`.
    ///
    /// # Errors
    /// As for [`Device::alloc`].
    pub fn upload<T: Element>(&self, values: &[T]) -> Result<Buffer> {
        let mut buffer = self.alloc(size_of_val(values))?;
        buffer.write_slice(values)?;
        Ok(buffer)
    }

    /// A new stream.
    ///
    /// # Errors
    /// [`Error::Driver`](crate::Error::Driver).
    pub fn stream(&self) -> Result<Stream> {
        match self {
            Self::Cpu(_) => Ok(Stream::cpu()),
            #[cfg(feature = "sim")]
            Self::Sim(_) => Ok(Stream::cpu()),
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => Ok(Stream::cuda(device.stream()?, device.ordinal())),
        }
    }

    /// Where memory of this device is.
    #[must_use]
    pub fn location(&self) -> Location {
        match self {
            Self::Cpu(_) => Location::Host,
            #[cfg(feature = "sim")]
            Self::Sim(_) => Location::Host,
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => Location::Cuda { ordinal: device.ordinal() },
        }
    }

    /// What the device calls itself.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu(cpu) => cpu.name(),
            #[cfg(feature = "sim")]
            Self::Sim(simulator) => simulator.name(),
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => device.name(),
        }
    }
}

/// GPUs to list: at least the first, for its error says why there is none.
fn gpu_count() -> u32 {
    #[cfg(feature = "cuda")]
    return crate::backend::cuda::CudaDevice::count().unwrap_or(0).max(1);
    #[cfg(not(feature = "cuda"))]
    1
}
