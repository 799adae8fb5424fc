//! A weight on a device.

use std::ops::Range;

use super::elements::Elements;
use crate::buffer::Buffer;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::{Shape, TensorRef};

/// A matrix `[rows, columns]` in the memory of a device, contiguous.
#[derive(Debug)]
pub struct Weight {
    buffer: Buffer,
    dtype: DType,
    rows: usize,
    columns: usize,
}

impl Weight {
    /// Copies a matrix to the device.
    pub fn upload(device: &Device, elements: &Elements) -> Result<Self> {
        let Elements { ref bytes, dtype, rows, columns } = *elements;
        let mut buffer = device.alloc(bytes.len())?;
        buffer.write(0, bytes)?;
        Ok(Self { buffer, dtype, rows, columns })
    }

    /// Rows: the outputs.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes.
    pub const fn len_bytes(&self) -> usize {
        self.buffer.len_bytes()
    }

    /// The matrix: `[rows, columns]`.
    pub fn view(&self) -> TensorRef<'_> {
        self.tensor(0, [self.rows, self.columns].into())
    }

    /// Some of the rows: `[rows, columns]`.
    pub fn part(&self, rows: Range<usize>) -> TensorRef<'_> {
        self.tensor(rows.start, [rows.len(), self.columns].into())
    }

    /// The matrices of heads that are above each other: `[heads, rows / heads, columns]`.
    pub fn by_head(&self, heads: usize) -> TensorRef<'_> {
        self.tensor(0, [heads, self.rows / heads, self.columns].into())
    }

    /// The only row of a norm: `[columns]`.
    pub fn vector(&self) -> TensorRef<'_> {
        self.tensor(0, [self.columns].into())
    }

    /// A contiguous tensor, from `row` on.
    fn tensor(&self, row: usize, shape: Shape) -> TensorRef<'_> {
        let address = self.buffer.address() + (row * self.columns * self.dtype.size()) as u64;
        TensorRef::contiguous(address, self.dtype, shape, self.buffer.location())
    }
}
