//! What programs have that work with a GPU already: their context, their memory.

#[cfg(feature = "cudarc")]
use std::ffi::c_void;
use std::ptr::null_mut;

use cust::device::Device;

use super::device::CudaDevice;
use super::driver::{Driver, driver};
use super::staging::refuse_capture;
use crate::error::{Error, Result};
use crate::stream::StreamRef;

impl CudaDevice {
    /// The GPU whose primary context is current on this thread, as it is on a thread that has used the CUDA
    /// runtime. Opens the GPU if that has not been done.
    ///
    /// # Errors
    /// [`Error::NoPrimaryContext`] if no context is current, or one that is not primary; those of
    /// [`CudaDevice::open`].
    pub fn of_current_context() -> Result<Self> {
        let driver = driver()?;
        let (mut context, mut device) = (null_mut(), 0);
        // SAFETY: the result has a place.
        unsafe { driver.cuCtxGetCurrent(&mut context)? };
        if context.is_null() {
            return Err(Error::NoPrimaryContext { got: "none" });
        }
        // SAFETY: the result has a place, and a context is current.
        unsafe { driver.cuCtxGetDevice(&mut device)? };
        let device = Self::open(ordinal_of(driver, device)?)?;
        if device.context() == context {
            return Ok(device);
        }
        Err(Error::NoPrimaryContext { got: "another context" })
    }

    /// Whether a context that someone else has is the one that this device works in.
    #[cfg(feature = "cudarc")]
    pub(crate) fn is_context(&self, context: *mut c_void) -> bool {
        self.context() == context
    }

    /// The error of a call that someone else made and that ended with `code`.
    #[cfg(feature = "cudarc")]
    pub(crate) fn failure(&self, call: &'static str, code: i32) -> Error {
        self.driver().error(call, code)
    }

    /// Copies memory of the GPU to the host, in the order of `stream`, and waits. Each copy is an address and where
    /// its bytes go.
    ///
    /// # Errors
    /// [`Error::LocationMismatch`] if the stream is of another device, or [`Error::Driver`], also if the stream is
    /// being captured.
    ///
    /// # Safety
    /// As many bytes as each copy takes, from its address on, are memory of this GPU that is initialised when the
    /// work given to `stream` so far is done.
    pub unsafe fn download<'a, T: bytemuck::Pod>(
        &self,
        stream: StreamRef<'_>,
        copies: impl IntoIterator<Item = (u64, &'a mut [T])>,
    ) -> Result<()> {
        self.check_stream(stream)?;
        let driver = self.driver();
        let _current = self.make_current()?;
        refuse_capture(driver, stream.raw(), "cuMemcpyDtoHAsync")?;
        let mut copies = copies.into_iter().filter(|(_, to)| !to.is_empty());
        let started = copies.try_for_each(|(from, to)| {
            let (bytes, to) = (size_of_val(to), to.as_mut_ptr().cast());
            // SAFETY: the caller vouches for `from`; `to` stays borrowed until the stream is done, below.
            unsafe { driver.cuMemcpyDtoHAsync_v2(to, from, bytes, stream.raw()) }
        });
        // Copies under way must end, whatever has become of the others.
        // SAFETY: the caller vouches for the stream.
        let done = unsafe { driver.cuStreamSynchronize(stream.raw()) };
        started.and(done)
    }
}

/// Number of the GPU with that handle.
fn ordinal_of(driver: &Driver, handle: i32) -> Result<u32> {
    for ordinal in 0..CudaDevice::count()? {
        let device =
            Device::get_device(ordinal).map_err(|error| driver.cust_error("cuDeviceGet", error))?;
        if device.as_raw() == handle {
            return Ok(ordinal);
        }
    }
    Err(Error::NoPrimaryContext { got: "that of a device that is not listed" })
}
