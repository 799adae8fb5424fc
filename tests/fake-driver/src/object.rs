//! What the driver has given out and not got back.

use std::ffi::c_void;
use std::sync::atomic::{AtomicI64, Ordering};

/// `CUstream`, `CUevent` and their like.
pub type Handle = *mut c_void;

/// Objects and pieces of memory that are out.
pub static LIVE: AtomicI64 = AtomicI64::new(0);

/// A handle for `value`.
pub fn create<T>(value: T) -> Handle {
    LIVE.fetch_add(1, Ordering::Relaxed);
    Box::into_raw(Box::new(value)).cast()
}

/// Ends what `create` began.
///
/// # Safety
/// The handle is one of [`create`] with the same type, and nobody uses it after this.
pub unsafe fn destroy<T>(handle: Handle) {
    LIVE.fetch_sub(1, Ordering::Relaxed);
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(handle.cast::<T>()) });
}
