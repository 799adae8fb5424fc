//! Copies to the device in stream order, through page-locked memory.
//!
//! Handed pageable memory, the driver copies in small pieces and waits for the stream before it starts. With
//! memory of our own the host never waits, and the caller's bytes are free at once.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

use super::device::CudaDevice;
use super::driver::{
    Address, CAPTURE_NONE, Driver, EVENT_DISABLE_TIMING, Handle, NOT_READY, OUT_OF_MEMORY,
    STREAM_CAPTURE_UNSUPPORTED, SUCCESS,
};
use crate::error::{Error, Result};

/// Copies under way before an upload waits for the first of them: steps that the host is ahead of the GPU.
const SLOTS: usize = 16;
/// Least bytes of a slot: the lengths and block tables of a typical step, so that slots serve each other's
/// uploads.
const SLOT_BYTES: usize = 64 << 10;

/// Copies `bytes` to device memory in stream order; they may be dropped on return.
///
/// # Errors
/// [`Error::Driver`](crate::Error::Driver), also if the stream is being captured: a replay would copy what
/// some later upload left in the page-locked memory.
pub(crate) fn upload(
    device: &CudaDevice,
    stream: *mut c_void,
    to: Address,
    bytes: &[u8],
) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let _current = device.make_current()?;
    refuse_capture(device.driver(), stream, "cuMemcpyHtoDAsync")?;
    device.staging().upload(device.driver(), stream, to, bytes)
}

/// Refuses to make a call on a stream that is being captured, before the call spoils the capture.
pub(super) fn refuse_capture(driver: &Driver, stream: Handle, call: &'static str) -> Result<()> {
    let mut status = CAPTURE_NONE;
    // SAFETY: the result has a place; the caller vouches for the stream.
    unsafe { driver.cuStreamIsCapturing(stream, &mut status)? };
    if status == CAPTURE_NONE {
        return Ok(());
    }
    Err(driver.error(call, STREAM_CAPTURE_UNSUPPORTED))
}

/// The page-locked memory of a device.
#[derive(Default)]
pub(super) struct Staging {
    /// Those used longest ago come first.
    slots: Mutex<Vec<Slot>>,
}

impl Staging {
    fn upload(&self, driver: &Driver, stream: Handle, to: Address, bytes: &[u8]) -> Result<()> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = claim(&mut slots, driver, bytes.len())?;
        // SAFETY: the slot is large enough, and no copy reads it any more; the caller vouches for `to`.
        let outcome = unsafe { slot.copy(driver, stream, to, bytes) };
        slots.push(slot);
        outcome
    }
}

/// Takes an idle slot of at least `bytes` bytes from the list. With [`SLOTS`] of them in use, waits for the one
/// used longest ago.
fn claim(slots: &mut Vec<Slot>, driver: &Driver, bytes: usize) -> Result<Slot> {
    for index in 0..slots.len() {
        if slots[index].bytes >= bytes && slots[index].is_idle(driver)? {
            return Ok(slots.remove(index));
        }
    }
    if slots.len() < SLOTS {
        return Slot::new(driver, bytes);
    }
    slots[0].wait(driver)?;
    let slot = slots.remove(0);
    if slot.bytes >= bytes {
        return Ok(slot);
    }
    slot.free(driver);
    Slot::new(driver, bytes)
}

/// Page-locked memory for one copy at a time.
struct Slot {
    memory: *mut c_void,
    bytes: usize,
    /// Comes after the last copy from `memory`.
    copied: Handle,
}

// SAFETY: any thread may use page-locked memory and events.
unsafe impl Send for Slot {}

impl Slot {
    fn new(driver: &Driver, bytes: usize) -> Result<Self> {
        let bytes = bytes.next_power_of_two().max(SLOT_BYTES);
        let (mut memory, mut copied) = (null_mut(), null_mut());
        // SAFETY: the results have their places.
        unsafe {
            driver.cuMemHostAlloc(&mut memory, bytes, 0).map_err(|error| match error {
                Error::Driver { code: OUT_OF_MEMORY, .. } => {
                    Error::OutOfMemory { device: "the host".into(), bytes }
                }
                error => error,
            })?;
            if let Err(error) = driver.cuEventCreate(&mut copied, EVENT_DISABLE_TIMING) {
                let _ = driver.cuMemFreeHost(memory);
                return Err(error);
            }
        }
        Ok(Self { memory, bytes, copied })
    }

    /// Copies `bytes` in stream order.
    ///
    /// # Safety
    /// The slot is idle and has room for them, and so has the memory at `to`.
    unsafe fn copy(
        &self,
        driver: &Driver,
        stream: Handle,
        to: Address,
        bytes: &[u8],
    ) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe {
            self.memory.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            driver.cuMemcpyHtoDAsync_v2(to, self.memory, bytes.len(), stream)?;
            let marked = driver.cuEventRecord(self.copied, stream);
            if marked.is_err() {
                // Nothing will tell when the copy has been made, so it is waited for.
                let _ = driver.cuStreamSynchronize(stream);
            }
            marked
        }
    }

    fn is_idle(&self, driver: &Driver) -> Result<bool> {
        // SAFETY: the event lives.
        match unsafe { (driver.cuEventQuery)(self.copied) } {
            SUCCESS => Ok(true),
            NOT_READY => Ok(false),
            code => Err(driver.error("cuEventQuery", code)),
        }
    }

    fn wait(&self, driver: &Driver) -> Result<()> {
        // SAFETY: the event lives.
        unsafe { driver.cuEventSynchronize(self.copied) }
    }

    fn free(self, driver: &Driver) {
        // SAFETY: made by `new`, idle, and gone after this.
        unsafe {
            let _ = driver.cuEventDestroy_v2(self.copied);
            let _ = driver.cuMemFreeHost(self.memory);
        }
    }
}
