//! The few functions of the CUDA driver that a recording needs, loaded at run time.

use std::error::Error;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};

use libloading::{Library, Symbol};
use oxmla_simt::{Swizzle, TensorMap};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A tensor map as the driver encodes it.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct Encoded([u64; 16]);

/// A kernel parameter.
pub enum Argument {
    Word(u64),
    TensorMap(Encoded),
}

/// The first GPU, with its primary context current.
pub struct Gpu {
    driver: Library,
}

/// Attribute of a function: dynamic shared memory beyond 48 KB.
const MAX_DYNAMIC_SHARED: c_int = 8;

impl Gpu {
    pub fn open() -> Outcome<Self> {
        // SAFETY: the driver's initialisers have no preconditions.
        let driver = unsafe { Library::new("libcuda.so.1")? };
        let gpu = Self { driver };
        let (mut device, mut context) = (0, std::ptr::null_mut());
        // SAFETY: signatures as in cuda.h; the pointers are to live variables.
        unsafe {
            check("cuInit", gpu.get::<extern "C" fn(c_uint) -> c_int>("cuInit")?(0))?;
            let get = gpu.get::<extern "C" fn(*mut c_int, c_int) -> c_int>("cuDeviceGet")?;
            check("cuDeviceGet", get(&raw mut device, 0))?;
            type Retain = extern "C" fn(*mut *mut c_void, c_int) -> c_int;
            let retain = gpu.get::<Retain>("cuDevicePrimaryCtxRetain")?;
            check("cuDevicePrimaryCtxRetain", retain(&raw mut context, device))?;
            let set = gpu.get::<extern "C" fn(*mut c_void) -> c_int>("cuCtxSetCurrent")?;
            check("cuCtxSetCurrent", set(context))?;
        }
        Ok(gpu)
    }

    /// # Safety
    /// `F` is the type of the function of that name.
    unsafe fn get<F>(&self, name: &str) -> Outcome<Symbol<'_, F>> {
        // SAFETY: the caller's promise.
        Ok(unsafe { self.driver.get(name.as_bytes())? })
    }

    /// Device memory with that content. Never freed: a recording is short.
    pub fn upload(&self, bytes: &[u8]) -> Outcome<u64> {
        let mut address = 0;
        // SAFETY: signatures as in cuda.h; the allocation has the size of the copy.
        unsafe {
            let allocate = self.get::<extern "C" fn(*mut u64, usize) -> c_int>("cuMemAlloc_v2")?;
            check("cuMemAlloc", allocate(&raw mut address, bytes.len()))?;
            type Copy = extern "C" fn(u64, *const c_void, usize) -> c_int;
            let copy = self.get::<Copy>("cuMemcpyHtoD_v2")?;
            check("cuMemcpyHtoD", copy(address, bytes.as_ptr().cast(), bytes.len()))?;
        }
        Ok(address)
    }

    /// The first `count` bytes at `address`.
    pub fn download(&self, address: u64, count: usize) -> Outcome<Vec<u8>> {
        let mut bytes = vec![0; count];
        type Copy = extern "C" fn(*mut c_void, u64, usize) -> c_int;
        // SAFETY: signature as in cuda.h; the vector has the size of the copy.
        unsafe {
            let copy = self.get::<Copy>("cuMemcpyDtoH_v2")?;
            check("cuMemcpyDtoH", copy(bytes.as_mut_ptr().cast(), address, count))?;
        }
        Ok(bytes)
    }

    /// Encodes a tensor map whose address is one of this GPU.
    pub fn encode(&self, map: &TensorMap) -> Outcome<Encoded> {
        // CU_TENSOR_MAP_DATA_TYPE_UINT8, 16, 32 and 64.
        let ty = match map.element_bytes {
            1 => 0,
            2 => 1,
            4 => 2,
            _ => 4,
        };
        let swizzle = match map.swizzle {
            Swizzle::None => 0,
            Swizzle::B32 => 1,
            Swizzle::B64 => 2,
            Swizzle::B128 => 3,
        };
        let mut encoded = Encoded([0; 16]);
        type Encode = extern "C" fn(
            *mut Encoded,
            c_int,
            c_uint,
            u64,
            *const u64,
            *const u64,
            *const u32,
            *const u32,
            c_int,
            c_int,
            c_int,
            c_int,
        ) -> c_int;
        // SAFETY: signature as in cuda.h; every array has as many entries as the rank asks for.
        unsafe {
            let encode = self.get::<Encode>("cuTensorMapEncodeTiled")?;
            let code = encode(
                &raw mut encoded,
                ty,
                map.tile.len() as c_uint,
                map.address,
                map.dimensions.as_ptr(),
                map.strides.as_ptr(),
                map.tile.as_ptr(),
                map.element_strides.as_ptr(),
                0,
                swizzle,
                0,
                0,
            );
            check(&format!("cuTensorMapEncodeTiled of {map:?}"), code)?;
        }
        Ok(encoded)
    }

    /// Compiles `ptx` and runs its kernel, `probe`, in CTAs of 128 threads; returns when it has ended.
    pub fn launch(&self, ptx: &str, ctas: u32, shared: u32, arguments: &[Argument]) -> Outcome<()> {
        let source = CString::new(ptx)?;
        let (mut module, mut function) = (std::ptr::null_mut(), std::ptr::null_mut());
        let mut pointers: Vec<*const c_void> = arguments
            .iter()
            .map(|argument| match argument {
                Argument::Word(word) => std::ptr::from_ref(word).cast(),
                Argument::TensorMap(map) => std::ptr::from_ref(map).cast(),
            })
            .collect();
        type Load = extern "C" fn(*mut *mut c_void, *const c_void) -> c_int;
        type Function = extern "C" fn(*mut *mut c_void, *mut c_void, *const c_char) -> c_int;
        type Attribute = extern "C" fn(*mut c_void, c_int, c_int) -> c_int;
        type Launch = extern "C" fn(
            *mut c_void,
            c_uint,
            c_uint,
            c_uint,
            c_uint,
            c_uint,
            c_uint,
            c_uint,
            *mut c_void,
            *mut *const c_void,
            *mut *mut c_void,
        ) -> c_int;
        // SAFETY: signatures as in cuda.h; the kernel's parameters are the arguments.
        unsafe {
            let load = self.get::<Load>("cuModuleLoadData")?;
            check("cuModuleLoadData", load(&raw mut module, source.as_ptr().cast()))?;
            let find = self.get::<Function>("cuModuleGetFunction")?;
            check("cuModuleGetFunction", find(&raw mut function, module, c"probe".as_ptr()))?;
            let set = self.get::<Attribute>("cuFuncSetAttribute")?;
            let code = set(function, MAX_DYNAMIC_SHARED, shared as c_int);
            check("cuFuncSetAttribute", code)?;
            let run = self.get::<Launch>("cuLaunchKernel")?;
            let stream = std::ptr::null_mut();
            let (values, extra) = (pointers.as_mut_ptr(), std::ptr::null_mut());
            let code = run(function, ctas, 1, 1, 128, 1, 1, shared, stream, values, extra);
            check("cuLaunchKernel", code)?;
            let wait = self.get::<extern "C" fn() -> c_int>("cuCtxSynchronize")?;
            check("cuCtxSynchronize", wait())?;
        }
        Ok(())
    }
}

fn check(what: &str, code: c_int) -> Outcome<()> {
    if code == 0 { Ok(()) } else { Err(format!("{what}: CUDA error {code}").into()) }
}
