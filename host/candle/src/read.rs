//! Tensors to read.

use candle_core::{CpuStorage, Layout, Storage, StorageRef, Tensor};
use oxmla::TensorRef;

use crate::error::{Error, Result};

/// A tensor that is borrowed to be read: while this lives, candle lets nobody write to its storage.
#[derive(Debug)]
pub struct CpuRef<'a> {
    storage: StorageRef<'a>,
    layout: &'a Layout,
}

impl<'a> CpuRef<'a> {
    /// Borrows a tensor.
    ///
    /// # Errors
    /// [`Error::NotOnCpu`] or [`Error::UnsupportedDType`].
    pub fn new(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        match &*storage {
            Storage::Cpu(
                CpuStorage::BF16(_) | CpuStorage::F16(_) | CpuStorage::F32(_) | CpuStorage::I32(_),
            ) => Ok(Self { storage, layout }),
            Storage::Cpu(_) => Err(Error::UnsupportedDType { got: tensor.dtype() }),
            _ => Err(Error::NotOnCpu { got: tensor.device().location() }),
        }
    }

    /// The elements, with candle's shape and strides.
    ///
    /// # Errors
    /// [`oxmla::Error::RankMismatch`] if there are more than four axes.
    pub fn view(&self) -> Result<TensorRef<'_>> {
        let Storage::Cpu(storage) = &*self.storage else {
            unreachable!("`new` refuses other storages")
        };
        let (dims, strides) = (self.layout.dims(), self.layout.stride());
        let start = self.layout.start_offset();
        let view = match storage {
            CpuStorage::BF16(all) => TensorRef::with_strides(from(all, start), dims, strides),
            CpuStorage::F16(all) => TensorRef::with_strides(from(all, start), dims, strides),
            CpuStorage::F32(all) => TensorRef::with_strides(from(all, start), dims, strides),
            CpuStorage::I32(all) => TensorRef::with_strides(from(all, start), dims, strides),
            _ => unreachable!("`new` refuses other types"),
        };
        Ok(view?)
    }
}

/// The elements from a tensor's first on; none if it is empty and begins beyond the end.
fn from<T>(all: &[T], start: usize) -> &[T] {
    all.get(start..).unwrap_or_default()
}
