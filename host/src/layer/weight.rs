//! A weight on a device.

use std::ops::Range;
use std::ptr;

use half::{bf16, f16};

use crate::buffer::Buffer;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::TensorRef;

/// A matrix `[rows, columns]` in the memory of a device, contiguous, in the type of the checkpoint unless said otherwise.
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
        let count = rows.clone().count();
        let bytes = gather(source, rows, columns.clone());
        Self::new(device, &bytes, source.dtype(), [count, columns.len()])
    }

    /// A vector as one row, its elements rounded to `dtype`, bf16 or f16.
    pub fn upload_vector_as(device: &Device, source: &TensorRef<'_>, dtype: DType) -> Result<Self> {
        let width = source.shape()[0];
        let bytes = gather(source, 0..1, 0..width);
        let round = |value: f32| match dtype {
            DType::F16 => f16::from_f32(value).to_le_bytes(),
            _ => bf16::from_f32(value).to_le_bytes(),
        };
        let (pairs, quads) = (bytes.chunks_exact(2), bytes.chunks_exact(4));
        let bytes: Vec<u8> = match source.dtype() {
            DType::Bf16 => {
                pairs.flat_map(|b| round(bf16::from_le_bytes([b[0], b[1]]).into())).collect()
            }
            DType::F16 => {
                pairs.flat_map(|b| round(f16::from_le_bytes([b[0], b[1]]).into())).collect()
            }
            _ => quads.flat_map(|b| round(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect(),
        };
        Self::new(device, &bytes, dtype, [1, width])
    }

    fn new(
        device: &Device,
        bytes: &[u8],
        dtype: DType,
        [rows, columns]: [usize; 2],
    ) -> Result<Self> {
        let mut buffer = device.alloc(bytes.len())?;
        buffer.write(0, bytes)?;
        Ok(Self { buffer, dtype, rows, columns })
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

    /// The only row of a norm: `[columns]`.
    pub fn vector(&self) -> TensorRef<'_> {
        let shape = [self.columns].into();
        TensorRef::contiguous(self.buffer.address(), self.dtype, shape, self.buffer.location())
    }
}

/// The bytes of a part of a matrix, or of a vector as one row.
fn gather(
    source: &TensorRef<'_>,
    rows: impl Iterator<Item = usize> + Clone,
    columns: Range<usize>,
) -> Vec<u8> {
    let row_bytes = columns.len() * source.dtype().size();
    let mut bytes = vec![0u8; rows.clone().count() * row_bytes];
    for (row, to) in rows.zip(bytes.chunks_exact_mut(row_bytes)) {
        let at = match source.shape().len() {
            1 => source.address_at([columns.start]),
            _ => source.address_at([row, columns.start]),
        };
        let from = ptr::with_exposed_provenance::<u8>(at);
        // SAFETY: the elements `columns` of a row, contiguous, of a view of host memory.
        to.copy_from_slice(unsafe { std::slice::from_raw_parts(from, row_bytes) });
    }
    bytes
}
