//! Tensors without gaps, which is what the simulated step takes.

use std::marker::PhantomData;
use std::ptr;

use crate::backend::cpu::memory::HostMemory;
use crate::error::{Error, Result};
use crate::tensor::{TensorMut, TensorRef};

/// What TMA needs of an address, in bytes.
const ALIGNMENT: u64 = 16;

/// A tensor to read, by the bits of its elements: where it is, or a copy if it has gaps or is not aligned.
pub enum Packed<'a, T> {
    InPlace(&'a [T]),
    Copy(HostMemory),
}

impl<'a, T: bytemuck::Pod> Packed<'a, T> {
    /// Elements of `tensor` are of the size of `T`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(tensor: &TensorRef<'a>) -> Result<Self> {
        let (shape, strides) = (tensor.shape(), tensor.strides());
        let len = shape.iter().product();
        let start = ptr::with_exposed_provenance::<T>(tensor.address() as usize);
        if is_packed(shape, strides) && tensor.address().is_multiple_of(ALIGNMENT) {
            // SAFETY: elements of a view of host memory, initialised and unchanged for its lifetime.
            return Ok(Self::InPlace(unsafe { std::slice::from_raw_parts(start, len) }));
        }
        let mut copy = HostMemory::new(byte_len(len, size_of::<T>())?)?;
        let elements: &mut [T] = bytemuck::cast_slice_mut(copy.as_mut_slice());
        for (element, offset) in elements.iter_mut().zip(offsets(shape, strides)) {
            // SAFETY: as above; the offset is that of an index inside the shape.
            *element = unsafe { start.add(offset).read() };
        }
        Ok(Self::Copy(copy))
    }

    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::InPlace(elements) => elements,
            Self::Copy(copy) => bytemuck::cast_slice(copy.as_slice()),
        }
    }
}

/// Room for what a tensor is to hold; NaN until it is written, so that a result that no kernel wrote shows.
pub struct Results<T> {
    memory: HostMemory,
    element: PhantomData<T>,
}

impl<T: bytemuck::Pod> Results<T> {
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(tensor: &TensorMut<'_>) -> Result<Self> {
        let len = tensor.shape().iter().product();
        let mut memory = HostMemory::new(byte_len(len, size_of::<T>())?)?;
        memory.as_mut_slice().fill(0xff);
        Ok(Self { memory, element: PhantomData })
    }

    /// Room that holds what the tensor holds.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn with_content(tensor: &TensorMut<'_>) -> Result<Self> {
        let mut results = Self::new(tensor)?;
        results.as_mut_slice().copy_from_slice(Packed::new(&tensor.as_ref())?.as_slice());
        Ok(results)
    }

    pub fn as_mut_slice(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(self.memory.as_mut_slice())
    }

    /// Copies everything to `tensor`, whose elements are of the size of `T`.
    pub fn store(&self, tensor: &TensorMut<'_>) {
        let elements: &[T] = bytemuck::cast_slice(self.memory.as_slice());
        let start = ptr::with_exposed_provenance_mut::<T>(tensor.address() as usize);
        for (element, offset) in elements.iter().zip(offsets(tensor.shape(), tensor.strides())) {
            // SAFETY: an aligned element of a writable view of host memory: the offset is that of an index
            // inside its shape.
            unsafe { start.add(offset).write(*element) };
        }
    }
}

fn byte_len(elements: usize, size: usize) -> Result<usize> {
    elements.checked_mul(size).ok_or(Error::SizeOverflow { what: "tensor" })
}

fn is_packed(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = stride == expected;
        expected *= size;
        fits
    })
}

/// Offset of every element, in elements, the innermost axis running fastest.
fn offsets<'a>(shape: &'a [usize], strides: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    (0..shape.iter().product()).map(move |mut index| {
        let along = |(&size, &stride): (&usize, &usize)| {
            let at = index % size;
            index /= size;
            at * stride
        };
        shape.iter().zip(strides).rev().map(along).sum()
    })
}
