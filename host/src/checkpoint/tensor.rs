//! Weights of a file, checked.

use std::borrow::Cow;

use safetensors::Dtype;

use super::error::CheckpointError;
use super::file::RawTensor;
use super::index::Index;
use super::{Result, blocks};
use crate::dtype::DType;
use crate::tensor::{Location, TensorRef};

/// A weight: in the mapped file, or in memory where the file has it in scaled blocks.
#[derive(Debug)]
pub struct Tensor<'a> {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Tensor<'a> {
    /// The tensor of that name, if it has that shape and is of floats.
    pub fn read(index: &'a Index, name: &str, shape: &[usize]) -> Result<Self> {
        let raw = index.tensor(name)?;
        check_shape(&raw, name, shape)?;
        let (dtype, bytes) = match raw.info.dtype {
            Dtype::BF16 => (DType::Bf16, Cow::Borrowed(raw.bytes)),
            Dtype::F16 => (DType::F16, Cow::Borrowed(raw.bytes)),
            Dtype::F32 => (DType::F32, Cow::Borrowed(raw.bytes)),
            Dtype::F8_E4M3 => (DType::Bf16, Cow::Owned(blocks::read(index, name, &raw)?)),
            _ => return Err(wrong_type(&raw, name, "bf16, f16, f32 or f8_e4m3")),
        };
        Ok(Self { dtype, shape: shape.to_vec(), bytes })
    }

    /// The elements.
    pub fn view(&self) -> crate::Result<TensorRef<'_>> {
        let address = self.bytes.as_ptr().expose_provenance() as u64;
        let columns = self.shape.last().copied().unwrap_or(1);
        let strides = [columns, 1];
        let strides = &strides[2 - self.shape.len()..];
        // SAFETY: initialised bytes, as many as the shape says, borrowed with `self`.
        unsafe { TensorRef::from_raw(address, self.dtype, &self.shape, strides, Location::Host) }
    }
}

/// Refuses a tensor of another shape.
pub fn check_shape(raw: &RawTensor<'_>, name: &str, expected: &[usize]) -> Result<()> {
    if raw.info.shape == expected {
        return Ok(());
    }
    Err(CheckpointError::WrongShape {
        path: raw.path.to_owned(),
        tensor: name.to_owned(),
        expected: expected.to_vec(),
        found: raw.info.shape.clone(),
    })
}

/// The error of a tensor of another type.
pub fn wrong_type(raw: &RawTensor<'_>, name: &str, expected: &'static str) -> CheckpointError {
    CheckpointError::WrongType {
        path: raw.path.to_owned(),
        tensor: name.to_owned(),
        expected,
        found: raw.info.dtype.to_string().to_lowercase(),
    }
}
