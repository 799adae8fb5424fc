//! The driver's library, loaded when it is first needed.
//!
//! cust calls the driver through plain symbols, and a program that links `libcuda.so.1` for them does not
//! start on a machine without a driver. So the symbols are defined here, each as a jump through a slot of
//! its own. A slot leads to [`not_initialized`] until the library is loaded, then into the library. Loading
//! happens in [`library`]: before the first call of [`super::driver`], or when somebody calls [`cuInit`],
//! without which the driver answers nothing anyway.

#![allow(non_snake_case, non_upper_case_globals, reason = "the driver's own names")]

use std::arch::naked_asm;
use std::error::Error;
use std::ffi::{CStr, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libloading::Library;

const NOT_INITIALIZED: i32 = 3;
const NO_DEVICE: i32 = 100;
const NOT_SUPPORTED: i32 = 801;

/// The library, or why it cannot be loaded.
pub(super) fn library() -> Result<&'static Library, &'static str> {
    static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
    LIBRARY.get_or_init(load).as_ref().map_err(String::as_str)
}

fn load() -> Result<Library, String> {
    // SAFETY: the initialisers of NVIDIA's library ask nothing of the process that loads it.
    let library = unsafe { Library::new("libcuda.so.1") }.map_err(|error| reason(&error))?;
    for (name, slot) in SLOTS {
        slot.bind(&library, name);
    }
    Ok(library)
}

/// What the dynamic linker said, which libloading keeps for itself.
fn reason(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Where the function of one symbol is.
#[repr(transparent)]
struct Slot(AtomicPtr<c_void>);

impl Slot {
    const fn unbound() -> Self {
        Self(AtomicPtr::new(not_initialized as *mut c_void))
    }

    /// Leads the symbol into the library, or to an error code where the driver has dropped the function.
    fn bind(&self, library: &Library, name: &CStr) {
        // SAFETY: only the address is taken; callers know the function's type.
        let function = unsafe { library.get::<*mut c_void>(name.to_bytes_with_nul()) };
        let address = function.map_or(not_supported as *mut c_void, |function| *function);
        self.0.store(address, Ordering::Release);
    }
}

extern "C" fn not_initialized() -> i32 {
    NOT_INITIALIZED
}

extern "C" fn not_supported() -> i32 {
    NOT_SUPPORTED
}

/// Loads the library and initialises the driver.
#[unsafe(no_mangle)]
extern "C" fn cuInit(flags: u32) -> i32 {
    let Ok(library) = library() else { return NO_DEVICE };
    // SAFETY: the driver's signature of this function.
    match unsafe { library.get::<unsafe extern "C" fn(u32) -> i32>(b"cuInit\0") } {
        // SAFETY: every value of `flags` has a defined result.
        Ok(init) => unsafe { init(flags) },
        Err(_) => NOT_SUPPORTED,
    }
}

/// Defines the symbols, a slot for each, and `SLOTS`, the list of both.
macro_rules! symbols {
    ($($name:ident)*) => {
        mod slots {
            $(pub(super) static $name: super::Slot = super::Slot::unbound();)*
        }

        static SLOTS: &[(&CStr, &Slot)] = &[
            $((
                match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => unreachable!(),
                },
                &slots::$name,
            ),)*
        ];

        $(
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            extern "C" fn $name() {
                #[cfg(target_arch = "x86_64")]
                naked_asm!("jmp qword ptr [rip + {slot}]", slot = sym slots::$name);
                // x16 is the register that the procedure call standard gives to veneers.
                #[cfg(target_arch = "aarch64")]
                naked_asm!(
                    "adrp x16, {slot}",
                    "ldr x16, [x16, :lo12:{slot}]",
                    "br x16",
                    slot = sym slots::$name,
                );
            }
        )*
    };
}

// Every function that cust 0.3.2 calls.
symbols! {
    cuArray3DCreate_v2
    cuArray3DGetDescriptor_v2
    cuArrayDestroy
    cuCtxCreate_v2
    cuCtxDestroy_v2
    cuCtxGetApiVersion
    cuCtxGetCacheConfig
    cuCtxGetCurrent
    cuCtxGetDevice
    cuCtxGetFlags
    cuCtxGetLimit
    cuCtxGetSharedMemConfig
    cuCtxGetStreamPriorityRange
    cuCtxPopCurrent_v2
    cuCtxPushCurrent_v2
    cuCtxSetCacheConfig
    cuCtxSetCurrent
    cuCtxSetLimit
    cuCtxSetSharedMemConfig
    cuCtxSynchronize
    cuDestroyExternalMemory
    cuDeviceGet
    cuDeviceGetAttribute
    cuDeviceGetCount
    cuDeviceGetName
    cuDevicePrimaryCtxRelease_v2
    cuDevicePrimaryCtxReset_v2
    cuDevicePrimaryCtxRetain
    cuDevicePrimaryCtxSetFlags_v2
    cuDeviceTotalMem_v2
    cuDriverGetVersion
    cuEventCreate
    cuEventDestroy_v2
    cuEventElapsedTime
    cuEventQuery
    cuEventRecord
    cuEventSynchronize
    cuExternalMemoryGetMappedBuffer
    cuFuncGetAttribute
    cuFuncSetCacheConfig
    cuFuncSetSharedMemConfig
    cuGetErrorString
    cuGraphAddKernelNode
    cuGraphCreate
    cuGraphDebugDotPrint
    cuGraphDestroy
    cuGraphGetEdges
    cuGraphGetNodes
    cuGraphKernelNodeGetParams
    cuGraphNodeGetType
    cuImportExternalMemory
    cuLaunchHostFunc
    cuLaunchKernel
    cuLinkAddData_v2
    cuLinkComplete
    cuLinkCreate_v2
    cuLinkDestroy
    cuMemAdvise
    cuMemAllocAsync
    cuMemAllocHost_v2
    cuMemAllocManaged
    cuMemAlloc_v2
    cuMemFreeAsync
    cuMemFreeHost
    cuMemFree_v2
    cuMemGetInfo_v2
    cuMemPrefetchAsync
    cuMemcpy2D_v2
    cuMemcpyAtoH_v2
    cuMemcpyDtoDAsync_v2
    cuMemcpyDtoD_v2
    cuMemcpyDtoHAsync_v2
    cuMemcpyDtoH_v2
    cuMemcpyHtoA_v2
    cuMemcpyHtoDAsync_v2
    cuMemcpyHtoD_v2
    cuMemsetD16Async
    cuMemsetD16_v2
    cuMemsetD32Async
    cuMemsetD32_v2
    cuMemsetD8Async
    cuMemsetD8_v2
    cuModuleGetFunction
    cuModuleGetGlobal_v2
    cuModuleLoad
    cuModuleLoadData
    cuModuleLoadDataEx
    cuModuleUnload
    cuOccupancyAvailableDynamicSMemPerBlock
    cuOccupancyMaxActiveBlocksPerMultiprocessor
    cuOccupancyMaxPotentialBlockSize
    cuStreamCreateWithPriority
    cuStreamDestroy_v2
    cuStreamGetFlags
    cuStreamGetPriority
    cuStreamSynchronize
    cuStreamWaitEvent
    cuSurfObjectCreate
    cuSurfObjectDestroy
    cuSurfObjectGetResourceDesc
    cuTexObjectCreate
    cuTexObjectDestroy
    cuTexObjectGetResourceDesc
    cuTexObjectGetResourceViewDesc
}
