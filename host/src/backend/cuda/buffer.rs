//! Device memory.

use cust::error::CudaError;
use cust::memory::DeviceBuffer;

use super::device::CudaDevice;
use super::driver::{Address, Driver, Handle};
use crate::error::{Error, Result};
use crate::stream::StreamRef;

/// Memory of a GPU, freed on drop, which waits for kernels that are running.
///
/// Copies to and from the host are synchronous and run beside the work of every stream.
#[derive(Debug)]
pub struct CudaBuffer {
    /// None if the buffer is empty.
    memory: Option<DeviceBuffer<u8>>,
    device: CudaDevice,
}

impl CudaBuffer {
    pub(super) fn new(device: &CudaDevice, bytes: usize) -> Result<Self> {
        let _current = device.make_current()?;
        // SAFETY: every content is a valid `u8`, and the kernels do not read what nobody wrote.
        let allocate = || unsafe { DeviceBuffer::uninitialized(bytes) };
        let memory = (bytes > 0).then(allocate).transpose().map_err(|error| match error {
            CudaError::OutOfMemory => Error::OutOfMemory { device: device.name().into(), bytes },
            error => device.driver().cust_error("cuMemAlloc", error),
        })?;
        Ok(Self { memory, device: device.clone() })
    }

    /// The GPU whose memory it is.
    #[must_use]
    pub const fn device(&self) -> &CudaDevice {
        &self.device
    }

    /// Address of the first byte; 0 if the buffer is empty.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.memory.as_ref().map_or(0, |memory| memory.as_device_ptr().as_raw())
    }

    /// Bytes in the buffer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory.as_ref().map_or(0, |memory| memory.len())
    }

    /// Whether there are no bytes in the buffer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memory.is_none()
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Errors
    /// [`Error::OutsideBuffer`], or [`Error::Driver`].
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        let to = self.range(offset, bytes.len())?;
        self.copy(bytes.len(), |driver, stream| {
            // SAFETY: both ranges are valid, and `copy` waits.
            unsafe { driver.cuMemcpyHtoDAsync_v2(to, bytes.as_ptr().cast(), bytes.len(), stream) }
        })
    }

    /// Copies what is at `offset` to `bytes`.
    ///
    /// # Errors
    /// [`Error::OutsideBuffer`], or [`Error::Driver`].
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let from = self.range(offset, bytes.len())?;
        self.copy(bytes.len(), |driver, stream| {
            // SAFETY: both ranges are valid, and `copy` waits.
            unsafe {
                driver.cuMemcpyDtoHAsync_v2(bytes.as_mut_ptr().cast(), from, bytes.len(), stream)
            }
        })
    }

    /// Sets every byte.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn fill(&mut self, byte: u8) -> Result<()> {
        let (to, len) = (self.address(), self.len());
        // SAFETY: the whole buffer.
        self.copy(len, |driver, stream| unsafe { driver.cuMemsetD8Async(to, byte, len, stream) })
    }

    /// Sets every byte, in the order of `stream`.
    ///
    /// # Errors
    /// [`Error::LocationMismatch`] if the stream is of another device, or [`Error::Driver`].
    pub fn fill_on(&mut self, stream: StreamRef<'_>, byte: u8) -> Result<()> {
        self.device.check_stream(stream)?;
        let (to, len) = (self.address(), self.len());
        // SAFETY: the whole buffer, which is not freed before the work of the GPU is done.
        self.enqueue(stream.raw(), len, |driver, stream| unsafe {
            driver.cuMemsetD8Async(to, byte, len, stream)
        })
    }

    /// Copies `len` bytes inside the buffer; the two ranges do not overlap.
    ///
    /// # Errors
    /// [`Error::OutsideBuffer`], or [`Error::Driver`].
    pub fn copy_within(&mut self, from: usize, to: usize, len: usize) -> Result<()> {
        let (from, to) = (self.range(from, len)?, self.range(to, len)?);
        self.copy(len, |driver, stream| {
            // SAFETY: both ranges are inside the buffer.
            unsafe { driver.cuMemcpyDtoDAsync_v2(to, from, len, stream) }
        })
    }

    /// Copies `len` bytes inside the buffer, in the order of `stream`; the two ranges do not overlap.
    ///
    /// # Errors
    /// [`Error::OutsideBuffer`], [`Error::LocationMismatch`] if the stream is of another device, or
    /// [`Error::Driver`].
    pub fn copy_within_on(
        &mut self,
        stream: StreamRef<'_>,
        from: usize,
        to: usize,
        len: usize,
    ) -> Result<()> {
        self.device.check_stream(stream)?;
        let (from, to) = (self.range(from, len)?, self.range(to, len)?);
        self.enqueue(stream.raw(), len, |driver, stream| {
            // SAFETY: both ranges are inside the buffer, which is not freed before the work of the GPU is
            // done.
            unsafe { driver.cuMemcpyDtoDAsync_v2(to, from, len, stream) }
        })
    }

    /// Does a copy of `len` bytes, and waits for it. The default stream is left alone: a call on it would end
    /// captures of streams that wait for it.
    fn copy(&self, len: usize, call: impl FnOnce(&Driver, Handle) -> Result<()>) -> Result<()> {
        let stream = self.device.copies();
        self.enqueue(stream, len, |driver, stream| {
            call(driver, stream)?;
            // SAFETY: the stream lives as long as the device.
            unsafe { driver.cuStreamSynchronize(stream) }
        })
    }

    /// Makes a call about `len` bytes, unless there are none: the driver takes no empty ranges.
    fn enqueue(
        &self,
        stream: Handle,
        len: usize,
        call: impl FnOnce(&Driver, Handle) -> Result<()>,
    ) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let _current = self.device.make_current()?;
        call(self.device.driver(), stream)
    }

    /// Address of `offset`, if `len` bytes from there are in the buffer.
    fn range(&self, offset: usize, len: usize) -> Result<Address> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len() => Ok(self.address() + offset as u64),
            _ => Err(Error::OutsideBuffer { offset, len, size: self.len() }),
        }
    }
}

impl Drop for CudaBuffer {
    fn drop(&mut self) {
        let _current = self.device.make_current();
        self.memory = None;
    }
}
