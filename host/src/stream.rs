//! Streams: the order in which a device does its work.

use std::ffi::c_void;
use std::marker::PhantomData;

use crate::error::Result;
use crate::tensor::Location;

/// A stream of a device, made by [`Device::stream`](crate::Device::stream). Any thread may use and drop it.
///
/// On the CPU every call has done its work when it returns, and a stream is nothing but a token.
#[derive(Debug)]
pub struct Stream(Kind);

#[derive(Debug)]
enum Kind {
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda {
        stream: crate::backend::cuda::CudaStream,
        ordinal: u32,
    },
}

impl Stream {
    pub(crate) const fn cpu() -> Self {
        Self(Kind::Cpu)
    }

    #[cfg(feature = "cuda")]
    pub(crate) const fn cuda(stream: crate::backend::cuda::CudaStream, ordinal: u32) -> Self {
        Self(Kind::Cuda { stream, ordinal })
    }

    /// What calls take.
    #[must_use]
    pub fn as_ref(&self) -> StreamRef<'_> {
        match &self.0 {
            Kind::Cpu => StreamRef::cpu(),
            #[cfg(feature = "cuda")]
            Kind::Cuda { stream, ordinal } => {
                StreamRef::new(stream.raw(), Location::Cuda { ordinal: *ordinal })
            }
        }
    }

    /// Waits until all work given to the stream so far is done.
    ///
    /// # Errors
    /// [`Error::Driver`](crate::Error::Driver) if some of it failed.
    pub fn synchronize(&self) -> Result<()> {
        match &self.0 {
            Kind::Cpu => Ok(()),
            #[cfg(feature = "cuda")]
            Kind::Cuda { stream, .. } => stream.synchronize(),
        }
    }
}

/// A borrowed stream, of this crate or of someone else.
///
/// Any thread may use it, several at once too: their calls come into the stream one after the other, in an order that
/// only the threads themselves can settle. No thread needs a current context for that; see
/// [`CudaDevice`](crate::backend::cuda::CudaDevice). Only CUDA's per-thread default stream, handle 2, is another stream
/// on each thread.
#[derive(Clone, Copy, Debug)]
pub struct StreamRef<'a> {
    raw: *mut c_void,
    location: Location,
    stream: PhantomData<&'a Stream>,
}

// SAFETY: the driver lets any thread use a stream.
unsafe impl Send for StreamRef<'_> {}
// SAFETY: as above.
unsafe impl Sync for StreamRef<'_> {}

impl StreamRef<'_> {
    /// The stream of the CPU backend.
    #[must_use]
    pub const fn cpu() -> Self {
        Self::new(std::ptr::null_mut(), Location::Host)
    }

    /// A `CUstream` that someone else owns; null is the default stream.
    ///
    /// # Safety
    /// `raw` is null or a stream of the primary context of GPU `ordinal`, and lives as long as the value
    /// returned.
    #[must_use]
    pub const unsafe fn from_raw(raw: *mut c_void, ordinal: u32) -> Self {
        Self::new(raw, Location::Cuda { ordinal })
    }

    /// The `CUstream`; null on the CPU.
    #[must_use]
    pub const fn raw(&self) -> *mut c_void {
        self.raw
    }

    /// The device that the stream belongs to.
    #[must_use]
    pub const fn location(&self) -> Location {
        self.location
    }

    const fn new(raw: *mut c_void, location: Location) -> Self {
        Self { raw, location, stream: PhantomData }
    }
}
