//! A weight on a device.

use std::ops::Range;
use std::ptr;

use crate::buffer::Buffer;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::TensorRef;

/// A matrix `[rows, columns]` in the memory of a device, contiguous, in the type of the checkpoint.
#[derive(Debug)]
pub struct Weight {
    buffer: Buffer,
    dtype: DType,
    rows: usize,
    columns: usize,
}

impl Weight {
    /// The rows `rows` of a matrix, or of a vector as one row, of each the elements `columns`. `source` is on the
    /// host, contiguous along its last axis, at any address.
    pub fn upload(
        device: &Device,
        source: &TensorRef<'_>,
        rows: impl Iterator<Item = usize> + Clone,
        columns: Range<usize>,
    ) -> Result<Self> {
        let dtype = source.dtype();
        let count = rows.clone().count();
        let row_bytes = columns.len() * dtype.size();
        let mut bytes = vec![0u8; count * row_bytes];
        for (row, to) in rows.zip(bytes.chunks_exact_mut(row_bytes)) {
            let at = match source.shape().len() {
                1 => source.address_at([columns.start]),
                _ => source.address_at([row, columns.start]),
            };
            let from = ptr::with_exposed_provenance::<u8>(at);
            // SAFETY: the elements `columns` of a row, contiguous, of a view of host memory.
            to.copy_from_slice(unsafe { std::slice::from_raw_parts(from, row_bytes) });
        }
        let mut buffer = device.alloc(bytes.len())?;
        buffer.write(0, &bytes)?;
        Ok(Self { buffer, dtype, rows: count, columns: columns.len() })
    }

    /// Rows: the outputs.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// The matrix: `[rows, columns]`.
    pub fn view(&self) -> TensorRef<'_> {
        let shape = [self.rows, self.columns].into();
        TensorRef::contiguous(self.buffer.address(), self.dtype, shape, self.buffer.location())
    }

    /// Bytes.
    pub const fn len_bytes(&self) -> usize {
        self.buffer.len_bytes()
    }
}
