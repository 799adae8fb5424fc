//! Matrix products in f32.

use gemm::Parallelism;

/// A matrix in a slice.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// The elements.
    pub elements: &'a [f32],
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// Elements from one column to the next.
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` elements, `stride` apart.
    pub const fn row_major(
        elements: &'a [f32],
        rows: usize,
        columns: usize,
        stride: usize,
    ) -> Self {
        Self { elements, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// The same elements, rows and columns exchanged.
    pub const fn transposed(self) -> Self {
        Self {
            elements: self.elements,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    fn extent(&self) -> usize {
        match (self.rows, self.columns) {
            (0, _) | (_, 0) => 0,
            (rows, columns) => {
                (rows - 1) * self.row_stride + (columns - 1) * self.column_stride + 1
            }
        }
    }
}

/// `to = a · b`, or `to += a · b` if `accumulate`; `to` is row-major, its rows as long as those of `b`.
///
/// # Panics
/// If the sizes do not fit together, which would be a mistake in this crate.
pub fn multiply(to: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, accumulate: bool) {
    assert!(a.columns == b.rows && to.len() >= a.rows * b.columns);
    assert!(a.extent() <= a.elements.len() && b.extent() <= b.elements.len());
    // SAFETY: the asserted sizes keep all three matrices inside their slices, and `to` is borrowed mutably.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            to.as_mut_ptr(),
            1,
            b.columns as isize,
            accumulate,
            a.elements.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.elements.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_small_matrices() {
        let a = Matrix::row_major(&[1.0, 2.0, 0.0, 3.0, 4.0], 2, 2, 3);
        let b = Matrix::row_major(&[5.0, 6.0, 7.0, 8.0], 2, 2, 2);
        let mut to = [100.0; 4];
        multiply(&mut to, a, b, false);
        assert_eq!(to, [19.0, 22.0, 43.0, 50.0]);
        multiply(&mut to, a, b.transposed(), true);
        assert_eq!(to, [19.0 + 17.0, 22.0 + 23.0, 43.0 + 39.0, 50.0 + 53.0]);
    }
}
