//! Memory of a device, owned.

use std::ops::Range;

use crate::backend::cpu::memory::HostMemory;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::tensor::{Location, Shape, TensorMut, TensorRef, byte_size};

/// Memory of a device, made by [`Device::alloc`](crate::Device::alloc) and freed on drop. It starts at a
/// multiple of 64 bytes at least.
///
/// Reads and writes are synchronous and know nothing of streams: on a GPU, synchronise the stream whose work
/// uses the buffer first. The bytes read would else be from before or after that work.
#[derive(Debug)]
pub struct Buffer {
    memory: Memory,
    len: usize,
}

#[derive(Debug)]
enum Memory {
    Host(HostMemory),
    #[cfg(feature = "cuda")]
    Cuda {
        buffer: crate::backend::cuda::CudaBuffer,
        ordinal: u32,
    },
}

impl Buffer {
    pub(crate) fn host(bytes: usize) -> Result<Self> {
        Ok(Self { memory: Memory::Host(HostMemory::new(bytes)?), len: bytes })
    }

    #[cfg(feature = "cuda")]
    pub(crate) fn cuda(buffer: crate::backend::cuda::CudaBuffer, ordinal: u32) -> Self {
        let len = buffer.len();
        Self { memory: Memory::Cuda { buffer, ordinal }, len }
    }

    /// Bytes in the buffer.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.len
    }

    /// Where the memory is.
    #[must_use]
    pub const fn location(&self) -> Location {
        match &self.memory {
            Memory::Host(_) => Location::Host,
            #[cfg(feature = "cuda")]
            Memory::Cuda { ordinal, .. } => Location::Cuda { ordinal: *ordinal },
        }
    }

    /// The GPU whose memory it is, if it is one's.
    #[cfg(feature = "cuda")]
    pub(crate) const fn gpu(&self) -> Option<&crate::backend::cuda::CudaDevice> {
        match &self.memory {
            Memory::Host(_) => None,
            Memory::Cuda { buffer, .. } => Some(buffer.device()),
        }
    }

    /// Address of the first byte.
    #[must_use]
    pub fn address(&self) -> u64 {
        match &self.memory {
            Memory::Host(memory) => memory.address(),
            #[cfg(feature = "cuda")]
            Memory::Cuda { buffer, .. } => buffer.address(),
        }
    }

    /// The contiguous tensor at the beginning of the buffer.
    ///
    /// # Errors
    /// [`Error::OutsideBuffer`] if it does not fit, [`Error::RankMismatch`] if it has more than four axes.
    pub fn view(&self, dtype: DType, shape: &[usize]) -> Result<TensorRef<'_>> {
        self.check(0, byte_size("shape", dtype, shape)?)?;
        Ok(TensorRef::contiguous(self.address(), dtype, Shape::new(shape)?, self.location()))
    }

    /// The contiguous tensor at the beginning of the buffer, to write.
    ///
    /// # Errors
    /// As for [`Buffer::view`].
    pub fn view_mut(&mut self, dtype: DType, shape: &[usize]) -> Result<TensorMut<'_>> {
        self.check(0, byte_size("shape", dtype, shape)?)?;
        Ok(TensorMut::contiguous(self.address(), dtype, Shape::new(shape)?, self.location()))
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Errors
    /// [`Error::OutsideBuffer`], or [`Error::Driver`].
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        let range = self.check(offset, bytes.len())?;
        match &mut self.memory {
            Memory::Host(memory) => memory.as_mut_slice()[range].copy_from_slice(bytes),
            #[cfg(feature = "cuda")]
            Memory::Cuda { buffer, .. } => buffer.write(offset, bytes)?,
        }
        Ok(())
    }

    /// Copies what is at `offset` to `bytes`.
    ///
    /// # Errors
    /// As for [`Buffer::write`].
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let range = self.check(offset, bytes.len())?;
        match &self.memory {
            Memory::Host(memory) => bytes.copy_from_slice(&memory.as_slice()[range]),
            #[cfg(feature = "cuda")]
            Memory::Cuda { buffer, .. } => buffer.read(offset, bytes)?,
        }
        Ok(())
    }

    /// Sets every byte.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn fill(&mut self, byte: u8) -> Result<()> {
        match &mut self.memory {
            Memory::Host(memory) => memory.as_mut_slice().fill(byte),
            #[cfg(feature = "cuda")]
            Memory::Cuda { buffer, .. } => buffer.fill(byte)?,
        }
        Ok(())
    }

    /// Copies `len` bytes inside the buffer.
    ///
    /// # Errors
    /// As for [`Buffer::write`], and [`Error::OverlappingCopy`].
    pub fn copy_within(&mut self, from: usize, to: usize, len: usize) -> Result<()> {
        let source = self.check(from, len)?;
        self.check(to, len)?;
        if from.abs_diff(to) < len {
            return Err(Error::OverlappingCopy { from, to, len });
        }
        match &mut self.memory {
            Memory::Host(memory) => memory.as_mut_slice().copy_within(source, to),
            #[cfg(feature = "cuda")]
            Memory::Cuda { buffer, .. } => buffer.copy_within(from, to, len)?,
        }
        Ok(())
    }

    /// Copies `values` to the beginning of the buffer.
    ///
    /// # Errors
    /// As for [`Buffer::write`].
    pub fn write_slice<T: Element>(&mut self, values: &[T]) -> Result<()> {
        self.write(0, bytemuck::cast_slice(values))
    }

    /// The whole buffer as elements; bytes that make no whole element are left out.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        let mut values = vec![T::zeroed(); self.len / size_of::<T>()];
        self.read(0, bytemuck::cast_slice_mut(&mut values))?;
        Ok(values)
    }

    fn check(&self, offset: usize, len: usize) -> Result<Range<usize>> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(offset..end),
            _ => Err(Error::OutsideBuffer { offset, len, size: self.len }),
        }
    }
}
