//! What every call goes through. No locks: tests time the host with calls that cost next to nothing.

use std::ffi::CStr;
use std::ptr::{self, null_mut};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicU64, Ordering};

use crate::device;

pub const SUCCESS: i32 = 0;
pub const INVALID_VALUE: i32 = 1;
pub const OUT_OF_MEMORY: i32 = 2;
pub const INVALID_DEVICE: i32 = 101;
pub const INVALID_CONTEXT: i32 = 201;
pub const INVALID_HANDLE: i32 = 400;
pub const NOT_FOUND: i32 = 500;
pub const COOPERATIVE_LAUNCH_TOO_LARGE: i32 = 720;
pub const STREAM_CAPTURE_UNSUPPORTED: i32 = 900;
pub const STREAM_CAPTURE_ISOLATION: i32 = 905;

/// A function of the driver.
pub struct Call {
    pub name: &'static CStr,
    /// How often it was called.
    pub count: AtomicU64,
}

/// What a function asks of its caller, and what it does when it is to fail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Works on every thread.
    Free,
    /// Works where a context is current.
    Bound,
    /// Gives something back, where a context is current. It does that even if it reports a failure, which in
    /// the driver is mostly one of work before it.
    Release,
}

/// The failure that is to come.
struct Fault {
    /// What the call reports; `SUCCESS` if none is to fail.
    code: AtomicI32,
    /// Which function; null for any.
    function: AtomicPtr<Call>,
    /// Its calls that succeed before.
    spared: AtomicI64,
    /// Whether all calls after the first fail too.
    lasting: AtomicBool,
    /// The function that has failed last.
    failed: AtomicPtr<Call>,
}

static FAULT: Fault = Fault {
    code: AtomicI32::new(SUCCESS),
    function: AtomicPtr::new(null_mut()),
    spared: AtomicI64::new(0),
    lasting: AtomicBool::new(false),
    failed: AtomicPtr::new(null_mut()),
};

/// Makes calls of `function`, or of any, fail with `code` after `spared` that do not: one, or all from then on.
pub fn fail(function: Option<&'static Call>, spared: i64, code: i32, lasting: bool) {
    let function = function.map_or(null_mut(), |call| ptr::from_ref(call).cast_mut());
    FAULT.failed.store(null_mut(), Ordering::Relaxed);
    FAULT.function.store(function, Ordering::Relaxed);
    FAULT.spared.store(spared, Ordering::Relaxed);
    FAULT.lasting.store(lasting, Ordering::Relaxed);
    FAULT.code.store(code, Ordering::Release);
}

/// The function that has failed since.
pub fn failed() -> Option<&'static Call> {
    // SAFETY: null, or a function, of which there are only static ones.
    unsafe { FAULT.failed.load(Ordering::Relaxed).as_ref() }
}

impl Call {
    pub const fn new(name: &'static CStr) -> Self {
        Self { name, count: AtomicU64::new(0) }
    }

    pub fn run(&'static self, kind: Kind, work: impl FnOnce() -> i32) -> i32 {
        self.count.fetch_add(1, Ordering::Relaxed);
        if kind != Kind::Free && device::current().is_null() {
            return INVALID_CONTEXT;
        }
        match (self.fault(), kind) {
            (None, _) => work(),
            (Some(code), Kind::Release) => {
                work();
                code
            }
            (Some(code), _) => code,
        }
    }

    /// What this call is to fail with.
    fn fault(&'static self) -> Option<i32> {
        let code = FAULT.code.load(Ordering::Acquire);
        if code == SUCCESS {
            return None;
        }
        let function = FAULT.function.load(Ordering::Relaxed).cast_const();
        if !function.is_null() && !ptr::eq(function, self) {
            return None;
        }
        let spared = FAULT.spared.fetch_sub(1, Ordering::Relaxed);
        let fails = spared == 0 || spared < 0 && FAULT.lasting.load(Ordering::Relaxed);
        if !fails {
            return None;
        }
        FAULT.failed.store(ptr::from_ref(self).cast_mut(), Ordering::Relaxed);
        Some(code)
    }
}

/// Defines functions of the driver, by their kind and what they do when they do not fail, and `CALLS`, the list
/// of them.
macro_rules! functions {
    ($($kind:ident fn $name:ident($($argument:ident: $type:ty),*) $work:block)*) => {
        mod calls {
            $(
                pub static $name: $crate::call::Call = $crate::call::Call::new(
                    match ::std::ffi::CStr::from_bytes_with_nul(
                        concat!(stringify!($name), "\0").as_bytes(),
                    ) {
                        Ok(name) => name,
                        Err(_) => unreachable!(),
                    },
                );
            )*
        }

        pub static CALLS: &[&$crate::call::Call] = &[$(&calls::$name),*];

        $(
            #[unsafe(no_mangle)]
            #[allow(unused_unsafe, reason = "not every function uses what it is handed")]
            unsafe extern "C" fn $name($($argument: $type),*) -> i32 {
                calls::$name.run($crate::call::Kind::$kind, || {
                    // SAFETY: callers keep to the contract of CUDA's driver API, and get handles and memory
                    // from nobody else.
                    unsafe { $work }
                })
            }
        )*
    };
}
