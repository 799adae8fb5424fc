//! Matrices on the host, on their way to a device.

use std::ops::Range;
use std::ptr;

use half::{bf16, f16};
use rayon::prelude::*;

use crate::dtype::DType;
use crate::tensor::TensorRef;

/// A matrix `[rows, columns]` without gaps.
#[derive(Debug)]
pub struct Elements {
    pub bytes: Vec<u8>,
    pub dtype: DType,
    pub rows: usize,
    pub columns: usize,
}

impl Elements {
    /// The rows `rows` of a matrix, or of a vector as one row, of each the elements `columns`, rounded to `dtype`.
    /// `source` is on the host, contiguous along its last axis, at any address; both types are floats.
    pub fn gather(
        source: &TensorRef<'_>,
        rows: impl Iterator<Item = usize> + Clone,
        columns: Range<usize>,
        dtype: DType,
    ) -> Self {
        let (count, width) = (rows.clone().count(), columns.len());
        let mut bytes = vec![0u8; count * width * dtype.size()];
        for (row, to) in rows.zip(bytes.chunks_exact_mut(width * dtype.size())) {
            let at = match source.shape().len() {
                1 => source.address_at([columns.start]),
                _ => source.address_at([row, columns.start]),
            };
            let from = ptr::with_exposed_provenance::<u8>(at);
            // SAFETY: the elements `columns` of a row, contiguous, of a view of host memory.
            let from = unsafe { std::slice::from_raw_parts(from, width * source.dtype().size()) };
            convert(from, source.dtype(), to, dtype);
        }
        Self { bytes, dtype, rows: count, columns: width }
    }

    /// The rows of both, which have the same columns and type.
    pub fn above(mut self, below: &Self) -> Self {
        self.bytes.extend_from_slice(&below.bytes);
        self.rows += below.rows;
        self
    }

    /// The transpose of each of `heads` matrices that are above each other.
    pub fn transposed_by_head(mut self, heads: usize) -> Self {
        let rows = self.rows / heads;
        self.bytes = match self.dtype.size() {
            2 => transposed::<[u8; 2]>(&self.bytes, rows, self.columns),
            _ => transposed::<[u8; 4]>(&self.bytes, rows, self.columns),
        };
        (self.rows, self.columns) = (heads * self.columns, rows);
        self
    }
}

/// Each `[rows, columns]` of elements as large as `T` as `[columns, rows]`.
fn transposed<T: bytemuck::Pod + Send + Sync>(
    bytes: &[u8],
    rows: usize,
    columns: usize,
) -> Vec<u8> {
    let from: &[T] = bytemuck::cast_slice(bytes);
    let mut to = vec![0u8; bytes.len()];
    let of_heads = to.par_chunks_exact_mut(rows * columns * size_of::<T>());
    of_heads.zip(from.par_chunks_exact(rows * columns)).for_each(|(to, from)| {
        let to: &mut [T] = bytemuck::cast_slice_mut(to);
        for (column, to) in to.chunks_exact_mut(rows).enumerate() {
            for (row, to) in to.iter_mut().enumerate() {
                *to = from[row * columns + column];
            }
        }
    });
    to
}

/// Elements of one type as those of another, rounded to nearest.
fn convert(from: &[u8], source: DType, to: &mut [u8], dtype: DType) {
    if source == dtype {
        return to.copy_from_slice(from);
    }
    let values = from.chunks_exact(source.size()).map(|bytes| value(bytes, source));
    for (value, to) in values.zip(to.chunks_exact_mut(dtype.size())) {
        match dtype {
            DType::Bf16 => to.copy_from_slice(&bf16::from_f32(value).to_ne_bytes()),
            DType::F16 => to.copy_from_slice(&f16::from_f32(value).to_ne_bytes()),
            _ => to.copy_from_slice(&value.to_ne_bytes()),
        }
    }
}

/// The value of an element.
fn value(bytes: &[u8], dtype: DType) -> f32 {
    let [low, high] = [bytes[0], bytes[1]];
    match dtype {
        DType::Bf16 => bf16::from_ne_bytes([low, high]).to_f32(),
        DType::F16 => f16::from_ne_bytes([low, high]).to_f32(),
        _ => f32::from_ne_bytes([low, high, bytes[2], bytes[3]]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;

    #[test]
    fn parts_of_a_matrix_in_other_types() -> Result<()> {
        let numbers: Vec<f32> = (0..12).map(|i| i as f32 + 1.0 / 512.0).collect();
        let matrix = TensorRef::from_slice(&numbers, &[3, 4])?;
        let same = Elements::gather(&matrix, [2, 0].into_iter(), 1..3, DType::F32);
        let picked = [9, 10, 1, 2].map(|i: usize| numbers[i]);
        assert_eq!(bytemuck::cast_slice::<_, u8>(&picked), same.bytes);
        let rounded = Elements::gather(&matrix, 0..1, 2..4, DType::Bf16);
        let expected = [2.0, 3.0].map(bf16::from_f32);
        assert_eq!(bytemuck::cast_slice::<_, u8>(&expected), rounded.bytes);
        assert_eq!((rounded.rows, rounded.columns), (1, 2));
        let halves = expected.map(|x| f16::from_f32(x.to_f32()));
        let vector = TensorRef::from_slice(&halves, &[2])?;
        let widened = Elements::gather(&vector, 0..1, 0..2, DType::F32);
        assert_eq!(bytemuck::cast_slice::<_, u8>(&[2f32, 3.0]), widened.bytes);
        Ok(())
    }

    #[test]
    fn heads_are_transposed_one_by_one() -> Result<()> {
        let numbers: Vec<f32> = (0..12u8).map(f32::from).collect();
        let matrix = TensorRef::from_slice(&numbers, &[4, 3])?;
        let whole = Elements::gather(&matrix, 0..4, 0..3, DType::F32).transposed_by_head(2);
        assert_eq!((whole.rows, whole.columns), (6, 2));
        let expected = [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11u8].map(f32::from);
        assert_eq!(bytemuck::cast_slice::<_, u8>(&expected), whole.bytes);
        Ok(())
    }

    #[test]
    fn matrices_above_each_other() -> Result<()> {
        let numbers = [bf16::ONE, bf16::ZERO];
        let part = |i| {
            let matrix = TensorRef::from_slice(&numbers, &[2, 1])?;
            Ok(Elements::gather(&matrix, i..i + 1, 0..1, DType::Bf16))
        };
        let both = part(1)?.above(&part(0)?);
        assert_eq!(both.rows, 2);
        assert_eq!(bytemuck::cast_slice::<_, u8>(&[bf16::ZERO, bf16::ONE]), both.bytes);
        Ok::<_, crate::Error>(())
    }
}
