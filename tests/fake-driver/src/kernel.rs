//! Modules, tensor maps and launches: refused where the driver would refuse them.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::null_mut;
use std::slice;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::call::{
    COOPERATIVE_LAUNCH_TOO_LARGE, INVALID_HANDLE, INVALID_VALUE, NOT_FOUND,
    STREAM_CAPTURE_UNSUPPORTED, SUCCESS,
};
use crate::device::MULTIPROCESSORS;
use crate::object::{Handle, create, destroy};
use crate::stream::{allows_unsafe_calls, is_of_current_context};

/// Bytes of shared memory that a CTA can have.
const SHARED_BYTES: u32 = 227 << 10;
const THREADS_PER_CTA: u32 = 1024;
/// What TMA takes: addresses and strides in steps of 16 bytes, strides below 2⁴⁰, boxes of at most 256.
const TMA_ALIGNMENT: u64 = 16;
const TMA_STRIDE_LIMIT: u64 = 1 << 40;
const TMA_BOX_LIMIT: u32 = 256;
const TENSOR_MAP_BYTES: usize = 128;
const LAUNCH_ATTRIBUTE_COOPERATIVE: u32 = 2;

/// PTX, as the program handed it over. The handle of a function is where its name stands in there.
struct Module(Box<CStr>);

/// Handle of the function that was launched last.
pub static LAUNCHED: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// `CUlaunchConfig`.
#[repr(C)]
struct LaunchConfig {
    grid: [u32; 3],
    block: [u32; 3],
    shared_bytes: u32,
    stream: Handle,
    attributes: *const LaunchAttribute,
    attribute_count: u32,
}

/// `CUlaunchAttribute`.
#[repr(C, align(8))]
struct LaunchAttribute {
    id: u32,
    padding: u32,
    value: [u32; 16],
}

impl LaunchConfig {
    /// # Safety
    /// The attributes are there.
    unsafe fn check(&self) -> i32 {
        let Self { grid: [x, y, z], block, shared_bytes, .. } = *self;
        let threads: u64 = block.iter().map(|&axis| u64::from(axis)).product();
        let grid_fits =
            (1..1 << 31).contains(&x) && [y, z].iter().all(|a| (1..1 << 16).contains(a));
        let cta_fits = (1..=u64::from(THREADS_PER_CTA)).contains(&threads);
        if !grid_fits || !cta_fits || shared_bytes > SHARED_BYTES {
            return INVALID_VALUE;
        }
        let ctas: u64 = self.grid.iter().map(|&axis| u64::from(axis)).product();
        // SAFETY: the caller's promise.
        let cooperative = unsafe { self.asks_for(LAUNCH_ATTRIBUTE_COOPERATIVE) };
        if cooperative && ctas > MULTIPROCESSORS as u64 * Self::ctas_per_sm(threads, shared_bytes) {
            return COOPERATIVE_LAUNCH_TOO_LARGE;
        }
        SUCCESS
    }

    /// What a multiprocessor has room for, registers aside.
    fn ctas_per_sm(threads: u64, shared_bytes: u32) -> u64 {
        let by_memory = SHARED_BYTES.checked_div(shared_bytes).unwrap_or(u32::MAX);
        (2048 / threads).min(by_memory.into()).min(32)
    }

    /// # Safety
    /// As for [`LaunchConfig::check`].
    unsafe fn asks_for(&self, id: u32) -> bool {
        if self.attribute_count == 0 {
            return false;
        }
        // SAFETY: the caller's promise.
        let attributes =
            unsafe { slice::from_raw_parts(self.attributes, self.attribute_count as usize) };
        attributes.iter().any(|attribute| attribute.id == id && attribute.value[0] != 0)
    }
}

functions! {
    Bound fn cuModuleLoadDataEx(
        module: *mut Handle,
        image: *const c_void,
        _options: u32,
        _names: *mut i32,
        _values: *mut *mut c_void
    ) {
        if !allows_unsafe_calls() {
            return STREAM_CAPTURE_UNSUPPORTED;
        }
        *module = create(Module(CStr::from_ptr(image.cast()).into()));
        SUCCESS
    }
    Release fn cuModuleUnload(module: Handle) {
        destroy::<Module>(module);
        SUCCESS
    }
    Bound fn cuModuleGetFunction(function: *mut Handle, module: Handle, name: *const c_char) {
        let Module(ptx) = &*module.cast::<Module>();
        let entry = format!(".entry {}(", CStr::from_ptr(name).to_string_lossy());
        let found = ptx.to_str().ok().and_then(|ptx| ptx.find(&entry));
        let Some(place) = found else { return NOT_FOUND };
        *function = ptx.as_ptr().add(place).cast_mut().cast();
        SUCCESS
    }
    Bound fn cuFuncSetAttribute(_function: Handle, _attribute: i32, value: i32) {
        if (0..=SHARED_BYTES as i32).contains(&value) { SUCCESS } else { INVALID_VALUE }
    }
    Bound fn cuOccupancyMaxActiveClusters(
        clusters: *mut i32,
        _function: Handle,
        config: *const LaunchConfig
    ) {
        let code = (*config).check();
        *clusters = MULTIPROCESSORS / 2;
        code
    }
    Free fn cuTensorMapEncodeTiled(
        map: *mut u8,
        _dtype: u32,
        rank: u32,
        address: u64,
        dims: *const u64,
        strides: *const u64,
        boxed: *const u32,
        _element_strides: *const u32,
        _interleave: u32,
        _swizzle: u32,
        _l2_promotion: u32,
        _out_of_bounds: u32
    ) {
        if !(1..=5).contains(&rank) || !address.is_multiple_of(TMA_ALIGNMENT) {
            return INVALID_VALUE;
        }
        let rank = rank as usize;
        let sizes_fit = slice::from_raw_parts(dims, rank).iter().all(|d| (1..=1 << 32).contains(d));
        let strides_fit = slice::from_raw_parts(strides, rank - 1)
            .iter()
            .all(|stride| stride.is_multiple_of(TMA_ALIGNMENT) && *stride < TMA_STRIDE_LIMIT);
        let boxes = slice::from_raw_parts(boxed, rank);
        let boxes_fit = boxes.iter().all(|size| (1..=TMA_BOX_LIMIT).contains(size));
        if !(sizes_fit && strides_fit && boxes_fit) {
            return INVALID_VALUE;
        }
        map.write_bytes(0, TENSOR_MAP_BYTES);
        SUCCESS
    }
    Bound fn cuLaunchKernelEx(
        config: *const LaunchConfig,
        function: Handle,
        parameters: *mut *mut c_void,
        _extra: *mut *mut c_void
    ) {
        if function.is_null() || parameters.is_null() {
            return INVALID_VALUE;
        }
        if !is_of_current_context((*config).stream) {
            return INVALID_HANDLE;
        }
        LAUNCHED.store(function, Ordering::Relaxed);
        (*config).check()
    }
}
