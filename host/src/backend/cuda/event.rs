//! Points in the work of a stream, and the time between them.

use std::ptr::null_mut;

use super::device::CudaDevice;
use super::driver::Handle;
use crate::error::Result;
use crate::stream::StreamRef;

/// A point in the work of a stream. cust's events know only cust's streams.
#[derive(Debug)]
pub struct Event {
    handle: Handle,
    device: CudaDevice,
}

// SAFETY: the driver lets any thread use an event.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// An event that has not been recorded.
    ///
    /// # Errors
    /// [`Error::Driver`](crate::Error::Driver).
    pub fn new(device: &CudaDevice) -> Result<Self> {
        let _current = device.make_current()?;
        let mut handle = null_mut();
        // SAFETY: the result has a place; 0 asks for an event that takes the time.
        unsafe { device.driver().cuEventCreate(&mut handle, 0)? };
        Ok(Self { handle, device: device.clone() })
    }

    /// Puts the event behind all work given to `stream` so far.
    ///
    /// # Errors
    /// [`Error::LocationMismatch`](crate::Error::LocationMismatch) if the stream is of another device, or
    /// [`Error::Driver`](crate::Error::Driver).
    pub fn record(&self, stream: StreamRef<'_>) -> Result<()> {
        self.device.check_stream(stream)?;
        let _current = self.device.make_current()?;
        // SAFETY: event and stream live.
        unsafe { self.device.driver().cuEventRecord(self.handle, stream.raw()) }
    }

    /// Waits until the work before the event is done.
    ///
    /// # Errors
    /// [`Error::Driver`](crate::Error::Driver) if some of it failed.
    pub fn synchronize(&self) -> Result<()> {
        let _current = self.device.make_current()?;
        // SAFETY: the event lives.
        unsafe { self.device.driver().cuEventSynchronize(self.handle) }
    }

    /// Microseconds from `since` to this event, with a resolution of about half a microsecond. Both have been
    /// recorded, and the work before them is done.
    ///
    /// # Errors
    /// [`Error::Driver`](crate::Error::Driver) if one of them has not been recorded or reached.
    pub fn elapsed_us(&self, since: &Self) -> Result<f32> {
        let _current = self.device.make_current()?;
        let mut milliseconds = 0.0;
        // SAFETY: both events live, and the result has a place.
        unsafe {
            let driver = self.device.driver();
            driver.cuEventElapsedTime(&mut milliseconds, since.handle, self.handle)?;
        }
        Ok(milliseconds * 1e3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _current = self.device.make_current();
        // SAFETY: nobody uses the event after this.
        let _ = unsafe { self.device.driver().cuEventDestroy_v2(self.handle) };
    }
}
