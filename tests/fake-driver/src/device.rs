//! The GPUs, their primary contexts, and what results are called.

use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::ptr::{self, null, null_mut};

use crate::call::{INVALID_CONTEXT, INVALID_DEVICE, INVALID_VALUE, SUCCESS};
use crate::memory;
use crate::object::Handle;

pub const MULTIPROCESSORS: i32 = 132;
const NAME: &[u8] = b"fake H100\0";
const GPUS: usize = 8;
/// CUDA 13.0.
const VERSION: i32 = 13_000;

/// Whose addresses are the primary contexts.
static CONTEXTS: [u8; GPUS] = [0; GPUS];

thread_local! {
    static CURRENT: Cell<Handle> = const { Cell::new(null_mut()) };
}

/// The primary context of a GPU.
fn primary(device: usize) -> Handle {
    ptr::from_ref(&CONTEXTS[device]).cast_mut().cast()
}

/// The context that is current on this thread, null if none is.
pub fn current() -> Handle {
    CURRENT.get()
}

/// By the numbers of `CUdevice_attribute`. What is not listed is on.
fn attribute(attribute: i32) -> i32 {
    match attribute {
        // Clocks of multiprocessors and memory, in kHz; bits of the memory bus; bytes of L2.
        13 => 1_980_000,
        36 => 2_619_000,
        37 => 5120,
        38 => 50 << 20,
        16 => MULTIPROCESSORS,
        // Address on the PCI bus.
        33 | 34 | 50 => 0,
        // Compute capability.
        75 => 9,
        76 => 0,
        _ => 1,
    }
}

/// Does something about a GPU, if it is there.
fn checked(device: i32, work: impl FnOnce(usize)) -> i32 {
    match usize::try_from(device) {
        Ok(device) if device < GPUS => {
            work(device);
            SUCCESS
        }
        _ => INVALID_DEVICE,
    }
}

functions! {
    Free fn cuInit(flags: u32) {
        if flags == 0 { SUCCESS } else { INVALID_VALUE }
    }
    Free fn cuDriverGetVersion(version: *mut i32) {
        *version = VERSION;
        SUCCESS
    }
    Free fn cuDeviceGetCount(count: *mut i32) {
        *count = GPUS as i32;
        SUCCESS
    }
    Free fn cuDeviceGet(device: *mut i32, ordinal: i32) {
        checked(ordinal, |_| *device = ordinal)
    }
    Free fn cuDeviceGetName(name: *mut c_char, len: i32, device: i32) {
        let bytes = NAME.len().min(len as usize);
        checked(device, |_| name.copy_from_nonoverlapping(NAME.as_ptr().cast(), bytes))
    }
    Free fn cuDeviceTotalMem_v2(bytes: *mut usize, device: i32) {
        checked(device, |_| *bytes = memory::TOTAL)
    }
    Free fn cuDeviceGetAttribute(value: *mut i32, which: i32, device: i32) {
        checked(device, |_| *value = attribute(which))
    }
    Free fn cuDevicePrimaryCtxRetain(context: *mut Handle, device: i32) {
        checked(device, |device| *context = primary(device))
    }
    Free fn cuDevicePrimaryCtxRelease_v2(device: i32) {
        checked(device, |_| ())
    }
    Free fn cuCtxGetCurrent(context: *mut Handle) {
        *context = CURRENT.get();
        SUCCESS
    }
    Free fn cuCtxSetCurrent(context: Handle) {
        CURRENT.set(context);
        SUCCESS
    }
    Bound fn cuCtxSynchronize() {
        SUCCESS
    }
    Free fn cuCtxDestroy_v2(_context: Handle) {
        SUCCESS
    }
    Bound fn cuCtxGetDevice(device: *mut i32) {
        let current = (0..GPUS).find(|&device| primary(device) == CURRENT.get());
        let Some(current) = current else { return INVALID_CONTEXT };
        *device = current as i32;
        SUCCESS
    }
}

/// Writes the text that `find` has for `code`.
///
/// # Safety
/// `text` has a place.
unsafe fn describe(text: *mut *const c_char, found: Option<&'static CStr>) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { *text = found.map_or(null(), CStr::as_ptr) };
    if found.is_some() { SUCCESS } else { INVALID_VALUE }
}

/// Asking what a result means is no call that could fail.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorName(code: i32, text: *mut *const c_char) -> i32 {
    let name = match code {
        1 => Some(c"CUDA_ERROR_INVALID_VALUE"),
        2 => Some(c"CUDA_ERROR_OUT_OF_MEMORY"),
        101 => Some(c"CUDA_ERROR_INVALID_DEVICE"),
        201 => Some(c"CUDA_ERROR_INVALID_CONTEXT"),
        500 => Some(c"CUDA_ERROR_NOT_FOUND"),
        700 => Some(c"CUDA_ERROR_ILLEGAL_ADDRESS"),
        701 => Some(c"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"),
        720 => Some(c"CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE"),
        900 => Some(c"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"),
        905 => Some(c"CUDA_ERROR_STREAM_CAPTURE_ISOLATION"),
        _ => None,
    };
    // SAFETY: the contract of the driver's function.
    unsafe { describe(text, name) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorString(_code: i32, text: *mut *const c_char) -> i32 {
    // SAFETY: the contract of the driver's function.
    unsafe { describe(text, Some(c"the fake driver was told so")) }
}
