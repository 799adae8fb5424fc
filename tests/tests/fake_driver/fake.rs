//! The fake driver, loaded in the place of a real one.

use std::env;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{null, null_mut};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use libloading::Library;

/// The fake driver, for one test at a time.
pub struct Fake {
    controls: &'static Controls,
    _turn: MutexGuard<'static, ()>,
}

struct Controls {
    capture_mode: extern "C" fn() -> i32,
    calls: unsafe extern "C" fn(*const c_char) -> u64,
    fail: unsafe extern "C" fn(*const c_char, u64, i32, bool),
    failed: extern "C" fn() -> *const c_char,
    heal: extern "C" fn(),
    launched: extern "C" fn() -> *const c_char,
    live: extern "C" fn() -> i64,
    get_current: unsafe extern "C" fn(*mut *mut c_void) -> i32,
    set_current: unsafe extern "C" fn(*mut c_void) -> i32,
}

impl Fake {
    /// Loads the driver if that has not been done. From then on, it is the one that this process has: it bears the
    /// name that the library asks the dynamic linker for.
    pub fn driver() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        static CONTROLS: OnceLock<Controls> = OnceLock::new();
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let fake = Self { controls: CONTROLS.get_or_init(Controls::load), _turn: turn };
        fake.heal();
        fake
    }

    /// How often a function was called.
    pub fn calls(&self, function: &str) -> u64 {
        let name = CString::new(function).unwrap();
        // SAFETY: the name ends with NUL.
        unsafe { (self.controls.calls)(name.as_ptr()) }
    }

    /// Calls of all functions.
    pub fn all_calls(&self) -> u64 {
        // SAFETY: null is for all.
        unsafe { (self.controls.calls)(null()) }
    }

    /// What this thread forbids itself while streams are captured; 0, the strictest, unless it has changed that.
    pub fn capture_mode(&self) -> i32 {
        (self.controls.capture_mode)()
    }

    /// The context that is current on this thread.
    pub fn current(&self) -> *mut c_void {
        let mut context = null_mut();
        // SAFETY: the result has a place.
        assert_eq!(unsafe { (self.controls.get_current)(&mut context) }, 0);
        context
    }

    /// Makes another context current on this thread.
    pub fn set_current(&self, context: *mut c_void) {
        // SAFETY: the fake driver takes any.
        assert_eq!(unsafe { (self.controls.set_current)(context) }, 0);
    }

    /// Makes one call of a function fail, after `spared` that do not.
    pub fn fail(&self, function: &str, spared: u64, code: i32) {
        let name = CString::new(function).unwrap();
        // SAFETY: the name ends with NUL.
        unsafe { (self.controls.fail)(name.as_ptr(), spared, code, false) };
    }

    /// Makes one call of whatever function fail, after `spared` that do not.
    pub fn fail_any(&self, spared: u64, code: i32) {
        // SAFETY: null is for all.
        unsafe { (self.controls.fail)(null(), spared, code, false) };
    }

    /// Makes every call fail after `spared` that do not.
    pub fn fail_all(&self, spared: u64, code: i32) {
        // SAFETY: null is for all.
        unsafe { (self.controls.fail)(null(), spared, code, true) };
    }

    /// The function that has failed last since it was told so; empty if none has.
    pub fn failed(&self) -> String {
        let name = (self.controls.failed)();
        if name.is_null() {
            return String::new();
        }
        // SAFETY: the name of a function, which ends with NUL.
        unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
    }

    /// Lets everything succeed again.
    pub fn heal(&self) {
        (self.controls.heal)();
    }

    /// Name of the kernel that was launched last, from a module that is still loaded.
    pub fn launched(&self) -> String {
        let ptx = (self.controls.launched)();
        assert!(!ptx.is_null(), "nothing was launched");
        // SAFETY: PTX of a loaded module, which ends with NUL.
        let ptx = unsafe { CStr::from_ptr(ptx) }.to_str().unwrap();
        let name = ptx.strip_prefix(".entry ").and_then(|entry| entry.split('(').next());
        name.expect("an entry").to_owned()
    }

    /// Objects and pieces of memory that the driver has given out and not got back.
    pub fn live(&self) -> i64 {
        (self.controls.live)()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.heal();
    }
}

impl Controls {
    fn load() -> Self {
        // Cargo puts libraries beside the tests that depend on them.
        let path = env::current_exe().unwrap().with_file_name("libfake_cuda.so");
        // SAFETY: the library does nothing when it is loaded, and has the functions with these types.
        unsafe {
            let library = Library::new(&path).unwrap();
            let controls = Self {
                capture_mode: *library.get(b"fake_capture_mode\0").unwrap(),
                calls: *library.get(b"fake_calls\0").unwrap(),
                fail: *library.get(b"fake_fail\0").unwrap(),
                failed: *library.get(b"fake_failed\0").unwrap(),
                heal: *library.get(b"fake_heal\0").unwrap(),
                launched: *library.get(b"fake_launched\0").unwrap(),
                live: *library.get(b"fake_live\0").unwrap(),
                get_current: *library.get(b"cuCtxGetCurrent\0").unwrap(),
                set_current: *library.get(b"cuCtxSetCurrent\0").unwrap(),
            };
            std::mem::forget(library);
            controls
        }
    }
}
