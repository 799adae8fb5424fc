//! Tensors in memory that callers manage.

use std::ffi::c_void;

use oxmla::{DType, Error, Location, TensorMut, TensorRef};

use crate::choice;
use crate::failure::{Failure, Result};

/// Axes that an `OxmlaTensor` has room for.
pub const OXMLA_MAX_RANK: usize = 4;

/// A tensor in memory of the planner's device.
#[repr(C)]
pub struct OxmlaTensor {
    /// The first element. Null only if the tensor is empty.
    pub data: *mut c_void,
    /// Size of each axis, outermost first.
    pub shape: [i64; OXMLA_MAX_RANK],
    /// Stride of each axis, in elements. That of an axis of size 1 may be anything but negative.
    pub strides: [i64; OXMLA_MAX_RANK],
    /// Axes in use, from the first on.
    pub rank: u32,
    /// Type of the elements, a value of `OxmlaDtype`.
    pub dtype: u32,
}

/// What both kinds of view are made of.
struct Parts<const RANK: usize> {
    address: u64,
    dtype: DType,
    shape: [usize; RANK],
    strides: [usize; RANK],
}

impl OxmlaTensor {
    /// The tensor, to read.
    ///
    /// # Safety
    /// As for [`TensorRef::from_raw`].
    pub unsafe fn read<'a, const RANK: usize>(
        &self,
        arg: &'static str,
        location: Location,
    ) -> Result<TensorRef<'a>> {
        let Parts { address, dtype, shape, strides } = self.parts::<RANK>(arg)?;
        // SAFETY: the caller's promise.
        unsafe { TensorRef::from_raw(address, dtype, &shape, &strides, location) }
            .map_err(|error| Failure::about(arg, &error))
    }

    /// The tensor, to write.
    ///
    /// # Safety
    /// As for [`TensorMut::from_raw`].
    pub unsafe fn write<'a, const RANK: usize>(
        &self,
        arg: &'static str,
        location: Location,
    ) -> Result<TensorMut<'a>> {
        let Parts { address, dtype, shape, strides } = self.parts::<RANK>(arg)?;
        // SAFETY: the caller's promise.
        unsafe { TensorMut::from_raw(address, dtype, &shape, &strides, location) }
            .map_err(|error| Failure::about(arg, &error))
    }

    fn parts<const RANK: usize>(&self, arg: &'static str) -> Result<Parts<RANK>> {
        const { assert!(RANK <= OXMLA_MAX_RANK) };
        if self.rank as usize != RANK {
            let (expected, got) = (RANK, self.rank as usize);
            return Err(Error::RankMismatch { arg, expected, got }.into());
        }
        let shape = not_negative(arg, "size", &self.shape)?;
        if self.data.is_null() && !shape.contains(&0) {
            return Err(Failure::null(arg));
        }
        Ok(Parts {
            address: self.data.expose_provenance() as u64,
            dtype: choice::dtype(format_args!("dtype of `{arg}`"), self.dtype)?,
            shape,
            strides: not_negative(arg, "stride", &self.strides)?,
        })
    }
}

/// The sizes or strides of the first axes.
fn not_negative<const RANK: usize>(
    arg: &str,
    what: &str,
    numbers: &[i64; OXMLA_MAX_RANK],
) -> Result<[usize; RANK]> {
    let mut checked = [0; RANK];
    for (axis, (to, &number)) in checked.iter_mut().zip(numbers).enumerate() {
        *to = usize::try_from(number).map_err(|_| {
            Failure::invalid(format!(
                "{what} of axis {axis} of `{arg}` must not be negative, but is {number}"
            ))
        })?;
    }
    Ok(checked)
}
