//! PTX modules, loaded into a context.

use std::ffi::{CString, c_char, c_void};
use std::ptr::null_mut;

use cust::module::Module;
use oxmla_kernels::launch::Kernel;

use super::context::Current;
use super::driver::{
    Driver, Handle, JIT_ERROR_LOG, JIT_ERROR_LOG_BYTES, LaunchConfig, MAX_DYNAMIC_SHARED_SIZE_BYTES,
};
use crate::error::{Error, Result};

/// An entry point, ready to launch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub handle: Handle,
    pub geometry: Kernel,
}

impl Function {
    /// The entry point that `geometry` describes, of a module that is called `name`.
    ///
    /// # Errors
    /// [`Error::ModuleLoad`] if the module has none, or [`Error::Driver`].
    pub(super) fn find(
        driver: &Driver,
        module: &Module,
        name: &'static str,
        geometry: &Kernel,
    ) -> Result<Self> {
        let function = module.get_function(geometry.name).map_err(|error| {
            let reason = driver.cust_error("cuModuleGetFunction", error);
            Error::ModuleLoad { module: name, log: format!("{}: {reason}", geometry.name) }
        })?;
        let handle: Handle = function.to_raw().cast();
        // More than 48 KB must be asked for. Asking also makes a driver that loads functions lazily load this
        // one now: at its first launch it might have to allocate, which a stream capture forbids.
        let shared_bytes = geometry.shared_bytes as i32;
        // SAFETY: the module has just returned the function.
        unsafe {
            driver.cuFuncSetAttribute(handle, MAX_DYNAMIC_SHARED_SIZE_BYTES, shared_bytes)?;
        }
        Ok(Self { handle, geometry: *geometry })
    }

    /// Clusters of the kernel that the GPU has room for at once.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub(super) fn clusters_at_once(&self, driver: &Driver) -> Result<u32> {
        let Self { handle, geometry } = *self;
        let config = LaunchConfig {
            grid: [geometry.cluster, 1, 1],
            block: [geometry.threads, 1, 1],
            shared_bytes: geometry.shared_bytes,
            stream: null_mut(),
            attributes: null_mut(),
            attribute_count: 0,
        };
        let mut clusters = 0;
        // SAFETY: the function is that of a loaded module.
        unsafe { driver.cuOccupancyMaxActiveClusters(&mut clusters, handle, &config)? };
        Ok(u32::try_from(clusters).unwrap_or(0))
    }
}

/// Compiles and loads the PTX of the module that is called `name` into the current context.
///
/// # Errors
/// [`Error::ModuleLoad`] with the log of the driver's compiler.
pub(super) fn load(current: &Current<'_>, name: &'static str, ptx: &str) -> Result<Module> {
    let driver = current.driver();
    Module::from_ptx(ptx, &[]).map_err(|error| {
        let reason = driver.cust_error("cuModuleLoadDataEx", error);
        let log = format!("{reason}\n{}", compiler_log(driver, ptx));
        Error::ModuleLoad { module: name, log }
    })
}

/// Loads once more, for the log that cust does not ask for.
fn compiler_log(driver: &Driver, ptx: &str) -> String {
    const LOG_BYTES: usize = 16 << 10;
    let Ok(image) = CString::new(ptx) else { return "the PTX contains a NUL".to_owned() };
    let mut log = vec![0u8; LOG_BYTES];
    let mut names = [JIT_ERROR_LOG, JIT_ERROR_LOG_BYTES];
    // The size travels as a value in the place of a pointer.
    let mut values = [log.as_mut_ptr().cast::<c_void>(), LOG_BYTES as *mut c_void];
    let mut module = null_mut();
    // SAFETY: `image` ends with NUL; the two options have their values; the log has the size it claims.
    let loaded = unsafe {
        driver.cuModuleLoadDataEx(
            &mut module,
            image.as_ptr().cast::<c_char>().cast(),
            names.len() as u32,
            names.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    if loaded.is_ok() {
        // SAFETY: loaded above, and nobody else has it.
        let _ = unsafe { driver.cuModuleUnload(module) };
        return "a second attempt succeeded".to_owned();
    }
    log.truncate(log.iter().position(|&byte| byte == 0).unwrap_or(LOG_BYTES));
    String::from_utf8_lossy(&log).trim().to_owned()
}
