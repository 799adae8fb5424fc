//! Sizes, or strides, of up to four axes.

use std::fmt;
use std::ops::Deref;

use crate::error::{Error, Result};

/// Axes that a tensor may have.
pub(super) const MAX_RANK: usize = 4;

/// One number per axis, outermost first; reads like a `&[usize]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    sizes: [usize; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// The numbers in `sizes`.
    ///
    /// # Errors
    /// [`Error::RankMismatch`] if there are more than four.
    pub fn new(sizes: &[usize]) -> Result<Self> {
        if sizes.len() > MAX_RANK {
            let (arg, expected, got) = ("shape", MAX_RANK, sizes.len());
            return Err(Error::RankMismatch { arg, expected, got });
        }
        let mut shape = Self { sizes: [0; MAX_RANK], rank: sizes.len() as u8 };
        shape.sizes.iter_mut().zip(sizes).for_each(|(place, &size)| *place = size);
        Ok(shape)
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [usize] {
        &mut self.sizes[..usize::from(self.rank)]
    }
}

impl<const RANK: usize> From<[usize; RANK]> for Shape {
    fn from(from: [usize; RANK]) -> Self {
        const { assert!(RANK <= MAX_RANK, "a tensor has at most four axes") };
        let mut sizes = [0; MAX_RANK];
        sizes[..RANK].copy_from_slice(&from);
        Self { sizes, rank: RANK as u8 }
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.sizes[..usize::from(self.rank)]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
