//! Checks of arguments, each with the error that says what is wrong.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::Location;

/// Axes of a tensor.
pub fn rank(arg: &'static str, shape: &[usize], expected: usize) -> Result<()> {
    let got = shape.len();
    if got == expected { Ok(()) } else { Err(Error::RankMismatch { arg, expected, got }) }
}

/// Size of an axis.
pub fn axis(arg: &'static str, axis: &'static str, got: usize, expected: usize) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(Error::ShapeMismatch { arg, axis, expected, got })
}

/// Rank, and size of every axis; `expected` names the axes.
pub fn shape<const RANK: usize>(
    arg: &'static str,
    got: &[usize],
    expected: [(&'static str, usize); RANK],
) -> Result<()> {
    rank(arg, got, RANK)?;
    expected.iter().zip(got).try_for_each(|(&(name, size), &got)| axis(arg, name, got, size))
}

/// Type of the elements.
pub fn dtype(arg: &'static str, got: DType, expected: DType) -> Result<()> {
    if got == expected { Ok(()) } else { Err(Error::DTypeMismatch { arg, expected, got }) }
}

/// Type of the elements of what a layer reads or writes.
pub const fn float(arg: &'static str, got: DType) -> Result<()> {
    match got {
        DType::Bf16 | DType::F16 | DType::F32 => Ok(()),
        DType::I32 | DType::U8 => Err(Error::NotAFloat { arg, got }),
    }
}

/// Stride of an axis, in elements.
pub fn stride(arg: &'static str, axis: &'static str, got: usize, expected: usize) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(Error::StrideMismatch { arg, axis, expected, got })
}

/// Device of a tensor or a stream.
pub fn location(arg: &'static str, got: Location, expected: Location) -> Result<()> {
    if got == expected { Ok(()) } else { Err(Error::LocationMismatch { arg, expected, got }) }
}

/// Alignment of the first element, in bytes.
pub fn alignment(arg: &'static str, address: u64, required: usize) -> Result<()> {
    if address.is_multiple_of(required as u64) {
        return Ok(());
    }
    Err(Error::Misaligned { arg, required, got: address })
}

/// A number within bounds.
pub fn range(
    arg: &'static str,
    got: impl Into<i128>,
    min: impl Into<i128>,
    max: impl Into<i128>,
) -> Result<()> {
    let (got, min, max) = (got.into(), min.into(), max.into());
    if (min..=max).contains(&got) {
        return Ok(());
    }
    Err(Error::OutOfRange { arg, min, max, got })
}
