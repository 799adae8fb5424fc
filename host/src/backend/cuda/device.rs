//! A GPU that is open for work.

use std::collections::BTreeMap;
use std::fmt;
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, PoisonError};

use cust::context::Context;
use cust::device::Device;
use oxmla_kernels::family::Family;

use super::buffer::CudaBuffer;
use super::choice::Choice;
use super::context::Current;
use super::driver::{Driver, Handle, driver};
use super::info::CudaInfo;
use super::module::Function;
use super::modules::Modules;
use super::staging::Staging;
use super::stream::{self, CudaStream};
use crate::error::{Error, Result};
use crate::stream::StreamRef;
use crate::tensor::Location;

/// A GPU of the Hopper generation. Clones are cheap and mean the same GPU.
///
/// It works in the GPU's primary context, as the CUDA runtime, cudarc and PyTorch do, so addresses and
/// streams can be exchanged with them. Every call makes that context current on its thread if it is not; a
/// thread that had another context gets it back afterwards, one that had none keeps it. That holds for drops as well,
/// so what one thread has made another may use and drop.
///
/// A GPU that has been opened stays open until the process ends, since captured graphs may hold on to its
/// kernels; opening it again costs nothing.
#[derive(Clone)]
pub struct CudaDevice(Arc<Inner>);

struct Inner {
    driver: &'static Driver,
    ordinal: u32,
    info: CudaInfo,
    context: Context,
    modules: Modules,
    staging: Staging,
    /// A stream for copies that nobody orders among other work.
    copies: Handle,
}

// SAFETY: the driver lets any thread use contexts, functions and streams.
unsafe impl Send for Inner {}
// SAFETY: as above; `staging` has a lock.
unsafe impl Sync for Inner {}

/// Device memory at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryInfo {
    /// Bytes that can be allocated.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

impl CudaDevice {
    /// GPUs of this machine, usable or not.
    ///
    /// # Errors
    /// [`Error::NoDriver`] on a machine without an NVIDIA driver or without a GPU.
    pub fn count() -> Result<u32> {
        let driver = driver()?;
        Device::num_devices().map_err(|error| driver.cust_error("cuDeviceGetCount", error))
    }

    /// Opens GPU number `ordinal`. No kernels are loaded yet, see [`CudaDevice::load`].
    ///
    /// # Errors
    /// - [`Error::NoDriver`] on a machine without an NVIDIA driver or without a GPU.
    /// - [`Error::OutOfRange`] if there is no GPU of that number.
    /// - [`Error::UnsupportedDevice`] if its compute capability is not 9.0.
    /// - [`Error::OldDriver`] if the driver is too old for the kernels.
    /// - [`Error::Driver`] if another call of the driver fails.
    pub fn open(ordinal: u32) -> Result<Self> {
        static OPEN: Mutex<BTreeMap<u32, CudaDevice>> = Mutex::new(BTreeMap::new());
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = open.get(&ordinal) {
            return Ok(device.clone());
        }
        let device = Self(Arc::new(Inner::open(ordinal)?));
        open.insert(ordinal, device.clone());
        Ok(device)
    }

    /// Number of the GPU, as the driver counts.
    #[must_use]
    pub fn ordinal(&self) -> u32 {
        self.0.ordinal
    }

    /// What the GPU calls itself.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.info.name
    }

    /// Streaming multiprocessors of the GPU.
    #[must_use]
    pub fn multiprocessors(&self) -> u32 {
        self.0.info.multiprocessors
    }

    /// What there is to know about the GPU.
    #[must_use]
    pub fn info(&self) -> &CudaInfo {
        &self.0.info
    }

    /// Free and total device memory.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn memory(&self) -> Result<MemoryInfo> {
        let _current = self.make_current()?;
        let (free, total) = cust::memory::mem_get_info()
            .map_err(|error| self.driver().cust_error("cuMemGetInfo", error))?;
        Ok(MemoryInfo { free: free as u64, total: total as u64 })
    }

    /// Device memory for `bytes` bytes, 256-byte aligned, its content unspecified.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], or [`Error::Driver`].
    pub fn alloc(&self, bytes: usize) -> Result<CudaBuffer> {
        CudaBuffer::new(self, bytes)
    }

    /// A new stream, without implicit order with any other.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn stream(&self) -> Result<CudaStream> {
        CudaStream::new(self)
    }

    /// Loads the kernels of a family into the GPU's primary context, unless they are. See
    /// [`Device::load`](crate::Device::load).
    ///
    /// # Errors
    /// [`Error::ModuleLoad`] with the log of the driver's compiler, or [`Error::Driver`]. A later call tries again.
    pub fn load(&self, family: Family) -> Result<()> {
        self.0.modules.load(self, family)
    }

    /// Whether the kernels of a family are loaded.
    #[must_use]
    pub fn has_loaded(&self, family: Family) -> bool {
        self.0.modules.has(family)
    }

    /// Refuses a stream of another device.
    pub(super) fn check_stream(&self, stream: StreamRef<'_>) -> Result<()> {
        let (expected, got) = (Location::Cuda { ordinal: self.ordinal() }, stream.location());
        if got == expected {
            return Ok(());
        }
        Err(Error::LocationMismatch { arg: "stream", expected, got })
    }

    pub(super) fn driver(&self) -> &'static Driver {
        self.0.driver
    }

    /// A kernel, ready to launch: loaded by this call, if nobody has loaded its family.
    pub(super) fn function(&self, choice: Choice) -> Result<Function> {
        self.0.modules.function(self, choice)
    }

    pub(super) fn staging(&self) -> &Staging {
        &self.0.staging
    }

    pub(super) fn copies(&self) -> Handle {
        self.0.copies
    }

    /// The primary context.
    pub(super) fn context(&self) -> Handle {
        self.0.context.as_raw().cast()
    }

    /// Makes the primary context current on this thread.
    pub(super) fn make_current(&self) -> Result<Current<'_>> {
        Current::enter(self.0.driver, self.context())
    }
}

impl Inner {
    fn open(ordinal: u32) -> Result<Self> {
        let driver = driver()?;
        let count = CudaDevice::count()?;
        if ordinal >= count {
            let (got, max) = (i128::from(ordinal), i128::from(count) - 1);
            return Err(Error::OutOfRange { arg: "ordinal", min: 0, max, got });
        }
        let device =
            Device::get_device(ordinal).map_err(|error| driver.cust_error("cuDeviceGet", error))?;
        let info = CudaInfo::read(device)
            .map_err(|error| driver.cust_error("cuDeviceGetAttribute", error))?;
        info.check_supported()?;
        let (context, _current) = retain_primary_context(driver, device)?;
        Ok(Self {
            driver,
            ordinal,
            info,
            context,
            modules: Modules::default(),
            staging: Staging::default(),
            copies: stream::create(driver)?,
        })
    }
}

/// The primary context, current on this thread.
///
/// It is retained by an integer call first: a GPU that another process has for itself alone answers with a
/// code (46) that cust's [`Context::new`] cannot hold.
fn retain_primary_context(driver: &Driver, device: Device) -> Result<(Context, Current<'_>)> {
    let mut handle = null_mut();
    // SAFETY: the result has a place; the device exists.
    unsafe { driver.cuDevicePrimaryCtxRetain(&mut handle, device.as_raw())? };
    let current = Current::enter(driver, handle);
    let context =
        Context::new(device).map_err(|error| driver.cust_error("cuDevicePrimaryCtxRetain", error));
    // SAFETY: retained above; cust's context has its own share.
    unsafe { driver.cuDevicePrimaryCtxRelease_v2(device.as_raw())? };
    Ok((context?, current?))
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaDevice")
            .field("ordinal", &self.ordinal())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
