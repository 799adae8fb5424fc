//! Streams of our own.

use std::ffi::c_void;
use std::ptr::null_mut;

use super::device::CudaDevice;
use super::driver::{Driver, Handle, STREAM_NON_BLOCKING};
use crate::error::Result;

/// A stream of a GPU, without implicit order with the legacy default stream: cust's streams always have one,
/// and then anybody's call on the default stream ends a capture.
#[derive(Debug)]
pub struct CudaStream {
    handle: Handle,
    device: CudaDevice,
}

// SAFETY: the driver lets any thread use a stream.
unsafe impl Send for CudaStream {}
// SAFETY: as above.
unsafe impl Sync for CudaStream {}

impl CudaStream {
    pub(super) fn new(device: &CudaDevice) -> Result<Self> {
        let _current = device.make_current()?;
        Ok(Self { handle: create(device.driver())?, device: device.clone() })
    }

    /// The `CUstream`.
    #[must_use]
    pub const fn raw(&self) -> *mut c_void {
        self.handle
    }

    /// Waits until all work given to the stream so far is done.
    ///
    /// # Errors
    /// [`Error::Driver`](crate::Error::Driver) if some of it failed.
    pub fn synchronize(&self) -> Result<()> {
        let _current = self.device.make_current()?;
        // SAFETY: the stream lives.
        unsafe { self.device.driver().cuStreamSynchronize(self.handle) }
    }
}

impl Drop for CudaStream {
    fn drop(&mut self) {
        let _current = self.device.make_current();
        // SAFETY: nobody uses the stream after this. Work still in it runs to its end.
        let _ = unsafe { self.device.driver().cuStreamDestroy_v2(self.handle) };
    }
}

/// A stream of the current context.
pub(super) fn create(driver: &Driver) -> Result<Handle> {
    let mut handle = null_mut();
    // SAFETY: the result has a place.
    unsafe { driver.cuStreamCreate(&mut handle, STREAM_NON_BLOCKING)? };
    Ok(handle)
}
