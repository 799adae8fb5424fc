//! A shape and its strides: which elements they reach, and whether any of them twice.

use super::shape::{MAX_RANK, Shape};
use crate::dtype::DType;
use crate::error::{Error, Result};

/// Bytes of a contiguous tensor.
///
/// # Errors
/// [`Error::SizeOverflow`] if they are more than `isize::MAX`, which no allocation is.
pub(crate) fn byte_size(what: &'static str, dtype: DType, shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(dtype.size(), |bytes, &size| bytes.checked_mul(size))
        .filter(|&bytes| isize::try_from(bytes).is_ok())
        .ok_or(Error::SizeOverflow { what })
}

/// Shape and strides of a view, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub shape: Shape,
    pub strides: Shape,
}

impl Layout {
    /// Row-major, without gaps.
    pub fn contiguous(shape: Shape) -> Self {
        let mut layout = Self { shape, strides: shape };
        layout.close_gaps(|_| true);
        layout
    }

    /// Any strides. That of an axis of size 1 is never used; it becomes what it would be if the axis had no
    /// gaps, so that no backend has to tell a meaningless stride from one it cannot follow.
    pub fn strided(shape: &[usize], strides: &[usize]) -> Result<Self> {
        if strides.len() != shape.len() {
            let (expected, got) = (shape.len(), strides.len());
            return Err(Error::RankMismatch { arg: "strides", expected, got });
        }
        let mut layout = Self { shape: Shape::new(shape)?, strides: Shape::new(strides)? };
        layout.close_gaps(|size| size == 1);
        Ok(layout)
    }

    /// Gives the axes that `picks` names the stride that continues the axes inside them. What overflows
    /// saturates: `extent` refuses it.
    fn close_gaps(&mut self, picks: impl Fn(usize) -> bool) {
        let mut next: usize = 1;
        for (stride, &size) in self.strides.as_mut_slice().iter_mut().zip(self.shape.iter()).rev() {
            if picks(size) {
                *stride = next;
            }
            next = stride.saturating_mul(size.max(1));
        }
    }

    /// Elements from the first to the last that the view reaches, both included; 0 if it is empty.
    pub fn extent(&self) -> Result<usize> {
        if self.shape.contains(&0) {
            return Ok(0);
        }
        self.axes()
            .try_fold(1usize, |extent, (size, stride)| {
                extent.checked_add(stride.checked_mul(size - 1)?)
            })
            .ok_or(Error::SizeOverflow { what: "strides" })
    }

    /// Refuses strides with which two indices may name the same element: from the innermost axis out, each
    /// stride must step over everything that the axes inside it reach.
    pub fn check_disjoint(&self) -> Result<()> {
        if self.shape.contains(&0) {
            return Ok(());
        }
        // On the stack, for views are made in the middle of a decode step. An axis of size 1 reaches nothing.
        let mut axes = [(1, 0); MAX_RANK];
        axes.iter_mut().zip(self.axes()).for_each(|(slot, axis)| *slot = axis);
        axes.sort_unstable_by_key(|&(_, stride)| stride);
        let mut reached = 1;
        for (size, stride) in axes.into_iter().filter(|&(size, _)| size > 1) {
            if stride < reached {
                return Err(Error::Overlap { shape: self.shape, strides: self.strides });
            }
            reached += stride * (size - 1);
        }
        Ok(())
    }

    /// Size and stride of each axis.
    fn axes(&self) -> impl Iterator<Item = (usize, usize)> {
        self.shape.iter().copied().zip(self.strides.iter().copied())
    }
}
