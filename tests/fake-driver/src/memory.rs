//! Memory: the host's, for both sides.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use crate::call::{INVALID_VALUE, OUT_OF_MEMORY, SUCCESS};
use crate::object::{Handle, LIVE};
use crate::stream::is_capturing;

/// Bytes of the GPU's memory.
pub const TOTAL: usize = 80 << 30;
const ALIGNMENT: usize = 256;

/// Sizes of what is allocated, by address.
static SIZES: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

fn sizes() -> impl std::ops::DerefMut<Target = BTreeMap<usize, usize>> {
    SIZES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes, ALIGNMENT).ok().filter(|_| bytes > 0)
}

/// Memory for `bytes` bytes, or the code that says why not.
fn allocate(bytes: usize) -> Result<*mut u8, i32> {
    let layout = layout(bytes).ok_or(INVALID_VALUE)?;
    if sizes().values().sum::<usize>().saturating_add(bytes) > TOTAL {
        return Err(OUT_OF_MEMORY);
    }
    // SAFETY: not empty.
    let memory = unsafe { alloc(layout) };
    if memory.is_null() {
        return Err(OUT_OF_MEMORY);
    }
    sizes().insert(memory.addr(), bytes);
    LIVE.fetch_add(1, Ordering::Relaxed);
    Ok(memory)
}

/// Gives it back.
///
/// # Safety
/// Nobody uses the memory after this.
unsafe fn free(memory: *mut u8) -> i32 {
    let Some(layout) = sizes().remove(&memory.addr()).and_then(layout) else {
        return INVALID_VALUE;
    };
    LIVE.fetch_sub(1, Ordering::Relaxed);
    // SAFETY: it was in the list, so `allocate` made it with that layout.
    unsafe { dealloc(memory, layout) };
    SUCCESS
}

/// Writes an address, or hands the code on.
///
/// # Safety
/// `place` is one for an address.
unsafe fn give<T>(place: *mut T, bytes: usize, address: impl FnOnce(*mut u8) -> T) -> i32 {
    match allocate(bytes) {
        Ok(memory) => {
            // SAFETY: the caller's promise.
            unsafe { *place = address(memory) };
            SUCCESS
        }
        Err(code) => code,
    }
}

fn device(address: u64) -> *mut u8 {
    ptr::with_exposed_provenance_mut(address as usize)
}

/// A copy in the order of a stream: now, or never if the stream records.
///
/// # Safety
/// Both ranges are valid.
unsafe fn copy(to: *mut u8, from: *const u8, bytes: usize, stream: Handle) -> i32 {
    if bytes == 0 {
        return INVALID_VALUE;
    }
    if !is_capturing(stream) {
        // SAFETY: the caller's promise.
        unsafe { to.copy_from_nonoverlapping(from, bytes) };
    }
    SUCCESS
}

functions! {
    Bound fn cuMemAlloc_v2(address: *mut u64, bytes: usize) {
        give(address, bytes, |memory| memory.expose_provenance() as u64)
    }
    Release fn cuMemFree_v2(address: u64) {
        free(device(address))
    }
    Bound fn cuMemAllocAsync(address: *mut u64, bytes: usize, _stream: Handle) {
        give(address, bytes, |memory| memory.expose_provenance() as u64)
    }
    Release fn cuMemFreeAsync(address: u64, _stream: Handle) {
        free(device(address))
    }
    Bound fn cuMemHostAlloc(address: *mut *mut c_void, bytes: usize, _flags: u32) {
        give(address, bytes, <*mut u8>::cast)
    }
    Release fn cuMemFreeHost(address: *mut c_void) {
        free(address.cast())
    }
    Bound fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        *total = TOTAL;
        *free = TOTAL - sizes().values().sum::<usize>();
        SUCCESS
    }
    Bound fn cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, bytes: usize, stream: Handle) {
        copy(device(to), from.cast(), bytes, stream)
    }
    Bound fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, bytes: usize, stream: Handle) {
        copy(to.cast(), device(from), bytes, stream)
    }
    Bound fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, stream: Handle) {
        copy(device(to), device(from), bytes, stream)
    }
    Bound fn cuMemsetD8Async(to: u64, byte: u8, bytes: usize, stream: Handle) {
        if !is_capturing(stream) {
            device(to).write_bytes(byte, bytes);
        }
        SUCCESS
    }
}
