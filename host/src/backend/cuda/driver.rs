//! Calls of the driver that cust lacks, or whose results cust cannot hold.
//!
//! cust turns every result into a Rust enum of the codes of CUDA 11.4; a code that a later driver has added
//! is undefined behaviour there. Results are plain integers here, so every call that may report one of them
//! comes through this file: whatever takes a context, runs on a stream or waits for one.

#![allow(non_snake_case, reason = "the driver's own names")]

use std::ffi::{CStr, c_char, c_void};
use std::ptr::null;
use std::sync::OnceLock;

use cust::error::CudaError;
use libloading::Library;

use super::lazy;
use super::tensor_map::TensorMap;
use crate::error::{Error, Result};

/// `CUcontext`, `CUstream`, `CUevent` and their like: opaque pointers.
pub(super) type Handle = *mut c_void;
/// `CUdeviceptr`.
pub(super) type Address = u64;

/// `CUDA_SUCCESS`.
pub(super) const SUCCESS: i32 = 0;
/// `CUDA_ERROR_OUT_OF_MEMORY`.
pub(super) const OUT_OF_MEMORY: i32 = 2;
/// `CUDA_ERROR_NOT_READY`: work that is still under way.
pub(super) const NOT_READY: i32 = 600;
/// `CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED`: a call that cannot be part of a graph.
pub(super) const STREAM_CAPTURE_UNSUPPORTED: i32 = 900;

/// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`.
pub(super) const MAX_DYNAMIC_SHARED_SIZE_BYTES: i32 = 8;
/// `CU_STREAM_NON_BLOCKING`: no implicit order with the legacy default stream.
pub(super) const STREAM_NON_BLOCKING: u32 = 1;
/// `CU_EVENT_DISABLE_TIMING`.
pub(super) const EVENT_DISABLE_TIMING: u32 = 2;
/// `CU_STREAM_CAPTURE_MODE_THREAD_LOCAL`: other threads may allocate and synchronise meanwhile.
pub(super) const CAPTURE_THREAD_LOCAL: i32 = 1;
/// `CU_STREAM_CAPTURE_MODE_RELAXED`: this thread may allocate and synchronise meanwhile.
pub(super) const CAPTURE_RELAXED: i32 = 2;
/// `CU_STREAM_CAPTURE_STATUS_NONE`.
pub(super) const CAPTURE_NONE: i32 = 0;
/// `CU_JIT_ERROR_LOG_BUFFER`.
pub(super) const JIT_ERROR_LOG: i32 = 5;
/// `CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES`.
pub(super) const JIT_ERROR_LOG_BYTES: i32 = 6;

/// `CUlaunchConfig`.
#[repr(C)]
pub(super) struct LaunchConfig {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub shared_bytes: u32,
    pub stream: Handle,
    pub attributes: *mut LaunchAttribute,
    pub attribute_count: u32,
}

/// `CUlaunchAttribute`: which, and a union of 64 bytes, aligned to 8.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaunchAttribute {
    id: u32,
    padding: u32,
    value: [u32; 16],
}

impl LaunchAttribute {
    /// `CU_LAUNCH_ATTRIBUTE_COOPERATIVE`: all CTAs of the grid run at the same time.
    pub const COOPERATIVE: Self = Self::switched_on(2);
    /// `CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION`: the kernel may start before the one in front of
    /// it in the stream has ended.
    pub const PROGRAMMATIC_STREAM_SERIALIZATION: Self = Self::switched_on(6);

    const fn switched_on(id: u32) -> Self {
        let mut value = [0; 16];
        value[0] = 1;
        Self { id, padding: 0, value }
    }
}

const _: () = assert!(size_of::<LaunchConfig>() == 56 && size_of::<LaunchAttribute>() == 72);

/// The driver, loaded and initialised.
///
/// # Errors
/// [`Error::NoDriver`] without a library, without a device, or with a driver from before CUDA 12.0.
pub(super) fn driver() -> Result<&'static Driver> {
    static DRIVER: OnceLock<Result<Driver>> = OnceLock::new();
    DRIVER.get_or_init(Driver::load).as_ref().map_err(Clone::clone)
}

/// Defines [`Driver`]: a field for each function, and for those whose results are all errors but one, a method
/// of the same name that checks the result.
macro_rules! functions {
    (
        unchecked { $(fn $raw:ident($($raw_argument:ident: $raw_type:ty),*);)* }
        checked { $(fn $name:ident($($argument:ident: $type:ty),*);)* }
    ) => {
        /// The functions, by their names in the library.
        pub(super) struct Driver {
            $(pub(super) $raw: unsafe extern "C" fn($($raw_type),*) -> i32,)*
            $($name: unsafe extern "C" fn($($type),*) -> i32,)*
        }

        impl Driver {
            fn resolve(library: &Library) -> Result<Self> {
                Ok(Self {
                    $($raw: symbol(library, concat!(stringify!($raw), "\0"))?,)*
                    $($name: symbol(library, concat!(stringify!($name), "\0"))?,)*
                })
            }

            $(
                /// Calls the function.
                ///
                /// # Safety
                /// As the CUDA driver API documents.
                #[allow(clippy::too_many_arguments, reason = "the driver's own signatures")]
                pub(super) unsafe fn $name(&self, $($argument: $type),*) -> Result<()> {
                    // SAFETY: the caller's promise.
                    match unsafe { (self.$name)($($argument),*) } {
                        SUCCESS => Ok(()),
                        code => Err(self.error(stringify!($name), code)),
                    }
                }
            )*
        }
    };
}

functions! {
    unchecked {
        fn cuGetErrorName(code: i32, name: *mut *const c_char);
        fn cuGetErrorString(code: i32, text: *mut *const c_char);
        fn cuEventQuery(event: Handle);
    }
    checked {
        fn cuInit(flags: u32);

        fn cuDevicePrimaryCtxRetain(context: *mut Handle, device: i32);
        fn cuDevicePrimaryCtxRelease_v2(device: i32);
        fn cuCtxGetCurrent(context: *mut Handle);
        fn cuCtxGetDevice(device: *mut i32);
        fn cuCtxSetCurrent(context: Handle);

        fn cuModuleLoadDataEx(
            module: *mut Handle,
            image: *const c_void,
            options: u32,
            names: *mut i32,
            values: *mut *mut c_void
        );
        fn cuModuleUnload(module: Handle);
        fn cuFuncSetAttribute(function: Handle, attribute: i32, value: i32);
        fn cuOccupancyMaxActiveClusters(
            clusters: *mut i32,
            function: Handle,
            config: *const LaunchConfig
        );
        fn cuTensorMapEncodeTiled(
            map: *mut TensorMap,
            dtype: u32,
            rank: u32,
            address: Address,
            dims: *const u64,
            strides: *const u64,
            boxed: *const u32,
            element_strides: *const u32,
            interleave: u32,
            swizzle: u32,
            l2_promotion: u32,
            out_of_bounds: u32
        );
        fn cuLaunchKernelEx(
            config: *const LaunchConfig,
            function: Handle,
            parameters: *mut *mut c_void,
            extra: *mut *mut c_void
        );

        fn cuStreamCreate(stream: *mut Handle, flags: u32);
        fn cuStreamDestroy_v2(stream: Handle);
        fn cuStreamSynchronize(stream: Handle);
        fn cuStreamIsCapturing(stream: Handle, status: *mut i32);
        fn cuStreamBeginCapture_v2(stream: Handle, mode: i32);
        fn cuThreadExchangeStreamCaptureMode(mode: *mut i32);
        fn cuStreamEndCapture(stream: Handle, graph: *mut Handle);
        fn cuGraphInstantiateWithFlags(executable: *mut Handle, graph: Handle, flags: u64);
        fn cuGraphLaunch(executable: Handle, stream: Handle);
        fn cuGraphDestroy(graph: Handle);
        fn cuGraphExecDestroy(executable: Handle);

        fn cuEventCreate(event: *mut Handle, flags: u32);
        fn cuEventDestroy_v2(event: Handle);
        fn cuEventRecord(event: Handle, stream: Handle);
        fn cuEventSynchronize(event: Handle);
        fn cuEventElapsedTime(milliseconds: *mut f32, start: Handle, end: Handle);

        fn cuMemHostAlloc(address: *mut *mut c_void, bytes: usize, flags: u32);
        fn cuMemFreeHost(address: *mut c_void);
        fn cuMemcpyHtoDAsync_v2(to: Address, from: *const c_void, bytes: usize, stream: Handle);
        fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: Address, bytes: usize, stream: Handle);
        fn cuMemcpyDtoDAsync_v2(to: Address, from: Address, bytes: usize, stream: Handle);
        fn cuMemsetD8Async(to: Address, byte: u8, bytes: usize, stream: Handle);
    }
}

impl Driver {
    fn load() -> Result<Self> {
        let library =
            lazy::library().map_err(|reason| Error::NoDriver { reason: reason.to_owned() })?;
        let driver = Self::resolve(library)?;
        // SAFETY: 0 is the only value of the flags.
        match unsafe { driver.cuInit(0) } {
            Ok(()) => Ok(driver),
            Err(error) => Err(Error::NoDriver { reason: error.to_string() }),
        }
    }

    /// The error of a call of cust.
    pub(super) fn cust_error(&self, call: &'static str, error: CudaError) -> Error {
        self.error(call, error as i32)
    }

    /// The error of a call that ended with `code`.
    pub(super) fn error(&self, call: &'static str, code: i32) -> Error {
        let (name, detail) = (self.name(code), self.description(code));
        if is_final(code) {
            return Error::DeviceLost { call, code, name, detail };
        }
        Error::Driver { call, code, name, detail }
    }

    fn name(&self, code: i32) -> String {
        text(self.cuGetErrorName, code).unwrap_or_else(|| "a result without a name".to_owned())
    }

    fn description(&self, code: i32) -> String {
        text(self.cuGetErrorString, code)
            .unwrap_or_else(|| "the driver has no description of it".to_owned())
    }
}

/// Whether a context can do nothing more after this result: those of which the driver's documentation says that
/// every later call returns them too, and a context or an MPS server that is gone.
const fn is_final(code: i32) -> bool {
    const ECC_UNCORRECTABLE: i32 = 214;
    const NVLINK_UNCORRECTABLE: i32 = 220;
    const CONTAINED: i32 = 226;
    const ILLEGAL_ADDRESS: i32 = 700;
    const LAUNCH_TIMEOUT: i32 = 702;
    const CONTEXT_IS_DESTROYED: i32 = 709;
    const ASSERT: i32 = 710;
    // Stack error, illegal instruction, misaligned address, invalid address space, invalid program counter.
    const HARDWARE_STACK_ERROR: i32 = 714;
    const LAUNCH_FAILED: i32 = 719;
    const TENSOR_MEMORY_LEAK: i32 = 721;
    const MPS_CLIENT_TERMINATED: i32 = 810;
    const EXTERNAL_DEVICE: i32 = 911;
    matches!(
        code,
        ECC_UNCORRECTABLE
            | NVLINK_UNCORRECTABLE
            | CONTAINED
            | ILLEGAL_ADDRESS
            | LAUNCH_TIMEOUT
            | CONTEXT_IS_DESTROYED
            | ASSERT
            | HARDWARE_STACK_ERROR
            ..=LAUNCH_FAILED | TENSOR_MEMORY_LEAK | MPS_CLIENT_TERMINATED | EXTERNAL_DEVICE
    )
}

/// What the driver has to say about a result.
fn text(
    describe: unsafe extern "C" fn(i32, *mut *const c_char) -> i32,
    code: i32,
) -> Option<String> {
    let mut text = null();
    // SAFETY: the driver sets `text` to a constant string, or to null for codes it does not know.
    unsafe {
        let known = describe(code, &mut text) == SUCCESS && !text.is_null();
        known.then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}

/// The function of that name, given with its closing NUL.
fn symbol<T: Copy>(library: &Library, name: &'static str) -> Result<T> {
    // SAFETY: the table above gives the function its type.
    let function = unsafe { library.get::<T>(name.as_bytes()) };
    function.map(|function| *function).map_err(|_| Error::NoDriver {
        reason: format!("it has no {}; CUDA 12.0 or newer is needed", name.trim_end_matches('\0')),
    })
}
