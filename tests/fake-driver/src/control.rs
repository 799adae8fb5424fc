//! What tests ask and tell the driver.

use std::ffi::{CStr, c_char};
use std::ptr::null;
use std::sync::atomic::Ordering;

use crate::call::{self, Call, SUCCESS};
use crate::object::LIVE;
use crate::{device, kernel, memory, stream};

fn calls() -> impl Iterator<Item = &'static Call> {
    [device::CALLS, kernel::CALLS, memory::CALLS, stream::CALLS].into_iter().flatten().copied()
}

/// The function of that name.
///
/// # Safety
/// `name` is null or ends with NUL.
unsafe fn find(name: *const c_char) -> Option<&'static Call> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    let found = calls().find(|call| call.name == name);
    Some(found.unwrap_or_else(|| panic!("the fake driver has no {}", name.to_string_lossy())))
}

/// How often a function was called; null for all together.
#[unsafe(no_mangle)]
unsafe extern "C" fn fake_calls(name: *const c_char) -> u64 {
    // SAFETY: the caller's promise.
    match unsafe { find(name) } {
        Some(call) => call.count.load(Ordering::Relaxed),
        None => calls().map(|call| call.count.load(Ordering::Relaxed)).sum(),
    }
}

/// Makes a call of a function, null for any, fail with `code` after `spared` that do not; if `lasting`, also all
/// after it. Replaces what was told before.
#[unsafe(no_mangle)]
unsafe extern "C" fn fake_fail(name: *const c_char, spared: u64, code: i32, lasting: bool) {
    // SAFETY: the caller's promise.
    call::fail(unsafe { find(name) }, spared as i64, code, lasting);
}

/// The function that has failed last since that was told; null if none has.
#[unsafe(no_mangle)]
extern "C" fn fake_failed() -> *const c_char {
    call::failed().map_or(null(), |call| call.name.as_ptr())
}

/// Lets everything succeed again.
#[unsafe(no_mangle)]
extern "C" fn fake_heal() {
    call::fail(None, 0, SUCCESS, false);
}

/// The PTX of the module from the entry on that was launched last, while it is loaded; null before the first launch.
#[unsafe(no_mangle)]
extern "C" fn fake_launched() -> *const c_char {
    kernel::LAUNCHED.load(Ordering::Relaxed).cast_const().cast()
}

/// What this thread forbids itself while streams are captured: `CUstreamCaptureMode`.
#[unsafe(no_mangle)]
extern "C" fn fake_capture_mode() -> i32 {
    stream::capture_mode()
}

/// Objects and pieces of memory that were given out and not given back.
#[unsafe(no_mangle)]
extern "C" fn fake_live() -> i64 {
    LIVE.load(Ordering::Relaxed)
}
