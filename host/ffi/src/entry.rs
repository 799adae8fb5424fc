//! The functions of the interface.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use crate::decode::{self, OxmlaDecode};
use crate::failure::{self, guard};
use crate::planner::{OxmlaPlanner, OxmlaPlannerConfig};
use crate::pointer::{exclusive, shared};
use crate::status::OxmlaStatus;
use crate::step::{self, OxmlaStep};

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version has no NUL"),
    };

/// Version of the library, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn oxmla_version() -> *const c_char {
    VERSION.as_ptr()
}

/// What was wrong with the last call of this thread that did not return `OXMLA_STATUS_OK`; empty if there was
/// none. Good until the thread's next such call. Never null.
#[unsafe(no_mangle)]
pub extern "C" fn oxmla_last_error() -> *const c_char {
    failure::last_error()
}

/// Makes a planner.
///
/// On a GPU this loads the kernels into the primary context the first time, and reserves memory; do not call it
/// while a stream is being captured. `device` is a value of `OxmlaDevice`; with
/// `OXMLA_DEVICE_CURRENT_CONTEXT` the planner stays with that GPU, whatever is current later.
///
/// # Safety
/// `config` is null or readable, `planner` null or writable. On success `*planner` is to be destroyed with
/// `oxmla_planner_destroy`; else it is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oxmla_planner_create(
    device: u32,
    config: *const OxmlaPlannerConfig,
    planner: *mut *mut OxmlaPlanner,
) -> OxmlaStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let planner = unsafe { exclusive("planner", planner) }?;
        *planner = ptr::null_mut();
        // SAFETY: the caller's promise.
        let config = unsafe { shared("config", config) }?;
        *planner = Box::into_raw(Box::new(OxmlaPlanner::new(device, config)?));
        Ok(())
    })
}

/// Plans the next step, and replaces the one before. Lengths and block table may go on return.
///
/// On a GPU they are uploaded in the order of `stream`, always to the same addresses: a graph that captured
/// `oxmla_decode` works on the new ones when it is replayed after this, as long as batch, `s_q` and mask are the
/// same. With `OXMLA_MEMORY_HOST` the call does not wait for the GPU. With `OXMLA_MEMORY_DEVICE` it does: they
/// are copied back in the order of `stream`, because they are checked on the host. Not while `stream` is being
/// captured.
///
/// `stream` is a `CUstream` of the planner's GPU (null: the default stream), or null on the CPU. A call that is
/// refused leaves the plan before in force.
///
/// # Safety
/// `planner` is null or a planner that nobody else uses now; `step` is null or readable, with pointers that are
/// null or to memory of the sizes that it says, in the place that it says; `stream` is as above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oxmla_plan(
    planner: *mut OxmlaPlanner,
    step: *const OxmlaStep,
    stream: *mut c_void,
) -> OxmlaStatus {
    // SAFETY: the caller's promise.
    guard(|| unsafe { step::plan(exclusive("planner", planner)?, shared("step", step)?, stream) })
}

/// Attends from the queries to what the requests of the latest plan have cached.
///
/// On the CPU the result is there on return. On a GPU the call gives the work to `stream` and returns: it
/// allocates nothing and waits for nothing, and can be captured in a graph, in every capture mode. The tensors
/// must then stay until the stream has done the work; `args` may go at once.
///
/// A GPU follows strides as far as its loads can: the innermost axis contiguous; addresses of `q`, `kv_cache` and
/// `out` and all their strides multiples of 16 bytes; query tokens and heads of `q` evenly spaced; query tokens
/// of `lse` contiguous. The CPU follows any.
///
/// `stream` is as for `oxmla_plan`; work of one planner on several streams is for the caller to order.
///
/// # Safety
/// `planner` is null or a planner that nobody else uses now; `args` is null or readable, with tensors in memory of
/// the planner's device that nobody else writes, and for `out` and `lse` nobody else reads, until the work is
/// done; `stream` is as above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oxmla_decode(
    planner: *const OxmlaPlanner,
    args: *const OxmlaDecode,
    stream: *mut c_void,
) -> OxmlaStatus {
    // SAFETY: the caller's promise.
    guard(|| unsafe { decode::decode(shared("planner", planner)?, shared("args", args)?, stream) })
}

/// The latest plan in words, for people. `*text` belongs to the planner, and is good until its next call of this
/// function.
///
/// # Safety
/// `planner` is null or a planner that nobody else uses now, `text` null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oxmla_explain(
    planner: *mut OxmlaPlanner,
    text: *mut *const c_char,
) -> OxmlaStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let (planner, text) = unsafe { (exclusive("planner", planner)?, exclusive("text", text)?) };
        *text = planner.explain()?;
        Ok(())
    })
}

/// Destroys a planner; null is nothing to do. On a GPU, waits until its kernels have ended.
///
/// # Safety
/// `planner` is null or was made by `oxmla_planner_create`, and is not used again; nor is any graph that
/// captured a decode with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oxmla_planner_destroy(planner: *mut OxmlaPlanner) {
    if planner.is_null() {
        return;
    }
    // Nothing can be done about a failure, and nobody is told.
    let _ = guard(|| {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(planner) });
        Ok(())
    });
}
