//! cudarc's streams and memory.
//!
//! ```no_run
//! use cudarc::driver::CudaContext;
//! use half::bf16;
//! use oxmla::interop::cudarc::CudarcStream;
//! use oxmla::*;
//!
//! # fn decode_on_cudarc(planner: &mut Planner, step: Step<'_>) -> Result<(), Box<dyn std::error::Error>> {
//! let stream = CudaContext::new(0)?.new_stream()?;
//! let (q, cache) = (stream.alloc_zeros::<u16>(128 * 576)?, stream.alloc_zeros::<u16>(32 * 64 * 576)?);
//! let mut out = stream.alloc_zeros::<u16>(128 * 512)?;
//! let mut lse = stream.alloc_zeros::<f32>(128)?;
//!
//! // SAFETY: the views below are used on this stream alone.
//! let ours = unsafe { CudarcStream::new(&stream)? };
//! let plan = planner.plan(ours.as_ref(), step)?;
//! let q = ours.view(&q, DType::Bf16, &[1, 1, 128, 576])?;
//! let cache = ours.view(&cache, DType::Bf16, &[32, 64, 1, 576])?;
//! let mut out = ours.view_mut(&mut out, DType::Bf16, &[1, 1, 128, 512])?;
//! let mut lse = ours.view_mut(&mut lse, DType::F32, &[1, 128, 1])?;
//! decode(planner, &plan, ours.as_ref(), Decode {
//!     q: q.as_ref(), kv_cache: cache.as_ref(), out: out.as_mut(), lse: lse.as_mut(),
//!     softmax_scale: 192f32.sqrt().recip(), softcap: None })?;
//! # Ok(())
//! # }
//! ```
//!
//! A view waits for what other streams do with the memory when it is made, and says that its own stream is done when
//! it is dropped. Both are calls that a capture does not allow where other streams are involved: make views before a
//! capture begins, drop them after it has ended, and replay the graph in the stream of the views.
//!
//! cudarc panics where there is no driver. [`Device::cuda`](crate::Device::cuda) says so as a value: ask it first.

use ::cudarc::driver::result::DriverError;
use ::cudarc::driver::{CudaContext, CudaStream, DevicePtr, DevicePtrMut, SyncOnDrop};
use bytemuck::Pod;

use crate::backend::cuda::CudaDevice;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::stream::StreamRef;
use crate::tensor::{Location, TensorMut, TensorRef};

/// What a failure is called that cudarc kept for itself until somebody asks: those of its `Drop`s.
const EARLIER: &str = "an earlier call of cudarc";

/// A stream of cudarc, for calls of this crate.
#[derive(Clone, Debug)]
pub struct CudarcStream<'a> {
    stream: &'a CudaStream,
    device: CudaDevice,
}

/// A tensor to read in memory of cudarc.
#[derive(Debug)]
pub struct CudarcRef<'a> {
    tensor: TensorRef<'a>,
    _in_use: SyncOnDrop<'a>,
}

/// A tensor to write in memory of cudarc.
#[derive(Debug)]
pub struct CudarcMut<'a> {
    tensor: TensorMut<'a>,
    _in_use: SyncOnDrop<'a>,
}

/// The GPU of one of cudarc's contexts. Opens the GPU if that has not been done.
///
/// # Errors
/// [`Error::ForeignContext`] if it is not the GPU's primary context, which [`CudaContext::new`] has; those of
/// [`CudaDevice::open`].
pub fn device(context: &CudaContext) -> Result<Device> {
    open(context, "context").map(Device::Cuda)
}

impl<'a> CudarcStream<'a> {
    /// A stream of cudarc, its default streams included.
    ///
    /// # Errors
    /// As for [`device`].
    ///
    /// # Safety
    /// Every tensor that the value hands out is used in calls on [`CudarcStream::as_ref`] and on no other stream: there
    /// alone the memory is waited for before, and kept from being given back until the work is done.
    pub unsafe fn new(stream: &'a CudaStream) -> Result<Self> {
        Ok(Self { stream, device: open(stream.context(), "stream")? })
    }

    /// What calls take.
    #[must_use]
    pub fn as_ref(&self) -> StreamRef<'a> {
        // SAFETY: the stream is borrowed for `'a`, and `new` has seen that it is of the primary context.
        unsafe { StreamRef::from_raw(self.stream.cu_stream().cast(), self.device.ordinal()) }
    }

    /// The GPU.
    #[must_use]
    pub fn device(&self) -> Device {
        Device::Cuda(self.device.clone())
    }

    /// The contiguous tensor at the beginning of `slice`, whose elements may be of any type: `dtype` says what its bytes
    /// are. The stream waits for what was written there in others.
    ///
    /// # Errors
    /// - [`Error::LocationMismatch`] or [`Error::ForeignContext`] if `slice` is of another GPU or context.
    /// - [`Error::ViewTooLarge`], [`Error::RankMismatch`] as for [`TensorRef::from_slice`].
    /// - [`Error::Driver`] if a call of cudarc failed, this one or one that had no way to say so.
    pub fn view<T: Pod>(
        &self,
        slice: &'a impl DevicePtr<T>,
        dtype: DType,
        shape: &[usize],
    ) -> Result<CudarcRef<'a>> {
        self.read(slice, dtype, shape, None)
    }

    /// A tensor with gaps, or with its axes in another order, inside `slice`; `strides` in elements of `dtype`.
    ///
    /// # Errors
    /// As for [`CudarcStream::view`], and as for [`TensorRef::with_strides`].
    pub fn view_with_strides<T: Pod>(
        &self,
        slice: &'a impl DevicePtr<T>,
        dtype: DType,
        shape: &[usize],
        strides: &[usize],
    ) -> Result<CudarcRef<'a>> {
        self.read(slice, dtype, shape, Some(strides))
    }

    /// As [`CudarcStream::view`], to write: the stream waits for what others read there as well.
    ///
    /// # Errors
    /// As for [`CudarcStream::view`].
    pub fn view_mut<T: Pod>(
        &self,
        slice: &'a mut impl DevicePtrMut<T>,
        dtype: DType,
        shape: &[usize],
    ) -> Result<CudarcMut<'a>> {
        self.write(slice, dtype, shape, None)
    }

    /// As [`CudarcStream::view_with_strides`], to write.
    ///
    /// # Errors
    /// As for [`CudarcStream::view`], and as for [`TensorMut::with_strides`].
    pub fn view_mut_with_strides<T: Pod>(
        &self,
        slice: &'a mut impl DevicePtrMut<T>,
        dtype: DType,
        shape: &[usize],
        strides: &[usize],
    ) -> Result<CudarcMut<'a>> {
        self.write(slice, dtype, shape, Some(strides))
    }

    fn read<T: Pod>(
        &self,
        slice: &'a impl DevicePtr<T>,
        dtype: DType,
        shape: &[usize],
        strides: Option<&[usize]>,
    ) -> Result<CudarcRef<'a>> {
        self.check_memory(slice.stream().context())?;
        let bytes = slice.num_bytes();
        let (address, in_use) = slice.device_ptr(self.stream);
        self.outcome("cuStreamWaitEvent")?;
        // SAFETY: the slice is borrowed for `'a`, and its memory outlives the stream's work: it is given back after
        // what `in_use` records. It is used on this stream alone, as `new` was promised.
        let tensor = unsafe {
            TensorRef::in_memory((address, bytes), dtype, shape, strides, self.location())?
        };
        Ok(CudarcRef { tensor, _in_use: in_use })
    }

    fn write<T: Pod>(
        &self,
        slice: &'a mut impl DevicePtrMut<T>,
        dtype: DType,
        shape: &[usize],
        strides: Option<&[usize]>,
    ) -> Result<CudarcMut<'a>> {
        self.check_memory(slice.stream().context())?;
        let bytes = slice.num_bytes();
        let (address, in_use) = slice.device_ptr_mut(self.stream);
        self.outcome("cuStreamWaitEvent")?;
        // SAFETY: as in `read`, and nobody else borrows the slice.
        let tensor = unsafe {
            TensorMut::in_memory((address, bytes), dtype, shape, strides, self.location())?
        };
        Ok(CudarcMut { tensor, _in_use: in_use })
    }

    /// Refuses memory of another GPU or context, and goes on no further after a failure of cudarc.
    fn check_memory(&self, context: &CudaContext) -> Result<()> {
        let ordinal = self.device.ordinal();
        if context.ordinal() != ordinal as usize {
            let got = Location::Cuda { ordinal: context.ordinal() as u32 };
            return Err(Error::LocationMismatch { arg: "slice", expected: self.location(), got });
        }
        if context.cu_ctx() != self.stream.context().cu_ctx() {
            return Err(Error::ForeignContext { arg: "slice", ordinal });
        }
        self.outcome(EARLIER)
    }

    /// The failure that cudarc has noted since it was last asked, as one of `call`.
    fn outcome(&self, call: &'static str) -> Result<()> {
        let noted = self.stream.context().check_err();
        noted.map_err(|DriverError(code)| self.device.failure(call, code as i32))
    }

    fn location(&self) -> Location {
        Location::Cuda { ordinal: self.device.ordinal() }
    }
}

impl CudarcRef<'_> {
    /// The tensor.
    #[must_use]
    pub fn as_ref(&self) -> TensorRef<'_> {
        self.tensor
    }
}

impl CudarcMut<'_> {
    /// The tensor, to write.
    #[must_use]
    pub fn as_mut(&mut self) -> TensorMut<'_> {
        self.tensor.reborrow()
    }

    /// The tensor, to read.
    #[must_use]
    pub fn as_ref(&self) -> TensorRef<'_> {
        self.tensor.as_ref()
    }
}

/// The GPU of a context, if it is the primary one; `arg` is what has the context.
fn open(context: &CudaContext, arg: &'static str) -> Result<CudaDevice> {
    let ordinal = context.ordinal() as u32;
    let device = CudaDevice::open(ordinal)?;
    if device.is_context(context.cu_ctx().cast()) {
        return Ok(device);
    }
    Err(Error::ForeignContext { arg, ordinal })
}
