//! What callers point to.

use std::slice;

use oxmla::Error;

use crate::failure::{Failure, Result};

/// What `pointer` points to.
///
/// # Safety
/// `pointer` is null or valid, and nobody writes through it during `'a`.
pub unsafe fn shared<'a, T>(arg: &'static str, pointer: *const T) -> Result<&'a T> {
    check_alignment(arg, pointer)?;
    // SAFETY: the caller's promise; aligned.
    unsafe { pointer.as_ref() }.ok_or_else(|| Failure::null(arg))
}

/// What `pointer` points to, to change it.
///
/// # Safety
/// `pointer` is null or valid, and nobody else uses it during `'a`.
pub unsafe fn exclusive<'a, T>(arg: &'static str, pointer: *mut T) -> Result<&'a mut T> {
    check_alignment(arg, pointer)?;
    // SAFETY: the caller's promise; aligned.
    unsafe { pointer.as_mut() }.ok_or_else(|| Failure::null(arg))
}

/// The `len` integers from `pointer` on; if there are none, `pointer` may be null.
///
/// # Safety
/// `pointer` is null or points to that many, which nobody changes during `'a`; they are of one allocation, and
/// so of no more bytes than `isize::MAX`.
pub unsafe fn integers<'a>(
    arg: &'static str,
    pointer: *const i32,
    len: usize,
) -> Result<&'a [i32]> {
    if len == 0 {
        return Ok(&[]);
    }
    check_present(arg, pointer)?;
    check_alignment(arg, pointer)?;
    // SAFETY: the caller's promise; aligned and not null.
    Ok(unsafe { slice::from_raw_parts(pointer, len) })
}

pub fn check_present<T>(arg: &'static str, pointer: *const T) -> Result<()> {
    if pointer.is_null() { Err(Failure::null(arg)) } else { Ok(()) }
}

pub fn check_alignment<T>(arg: &'static str, pointer: *const T) -> Result<()> {
    if pointer.is_aligned() {
        return Ok(());
    }
    let (required, got) = (align_of::<T>(), pointer.addr() as u64);
    Err(Error::Misaligned { arg, required, got }.into())
}
