//! Why a call did not do what it was asked, and how its caller learns of it.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use oxmla::Error;

use crate::status::OxmlaStatus;

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A status and its text.
#[derive(Debug, PartialEq)]
pub struct Failure {
    status: OxmlaStatus,
    text: String,
}

impl Failure {
    /// A required pointer that is null.
    pub fn null(arg: &str) -> Self {
        Self { status: OxmlaStatus::NullPointer, text: format!("`{arg}` must not be null") }
    }

    /// An argument that the text names.
    pub fn invalid(text: String) -> Self {
        Self { status: OxmlaStatus::InvalidArgument, text }
    }

    /// A decode before the first plan.
    pub fn no_plan() -> Self {
        Self { status: OxmlaStatus::NoPlan, text: "the planner has planned no step".to_owned() }
    }

    /// An error of the library, which does not say by itself that it is about `arg`.
    pub fn about(arg: &str, error: &Error) -> Self {
        Self { status: error.into(), text: format!("`{arg}`: {error}") }
    }

    fn panic(payload: &(dyn Any + Send)) -> Self {
        let message = payload.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| payload.downcast_ref::<&str>().copied());
        let text = format!("defect of the library: {}", message.unwrap_or("panic"));
        Self { status: OxmlaStatus::Internal, text }
    }

    /// Keeps the text for this thread's `oxmla_last_error`.
    fn report(self) -> OxmlaStatus {
        let text = CString::new(self.text.replace('\0', " ")).unwrap_or_default();
        // A thread that is ending has nobody left to ask.
        let _ = LAST_ERROR.try_with(|last| last.replace(text));
        self.status
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { status: (&error).into(), text: error.to_string() }
    }
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// Runs the body of a call; a panic in it becomes a status.
pub fn guard(call: impl FnOnce() -> Result<()>) -> OxmlaStatus {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => OxmlaStatus::Ok,
        Ok(Err(failure)) => failure.report(),
        Err(payload) => Failure::panic(&*payload).report(),
    }
}

/// The text of the thread's last failure; good until its next.
pub fn last_error() -> *const c_char {
    LAST_ERROR.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    fn last_text() -> String {
        // SAFETY: a string that lives until the next failure of this thread.
        unsafe { CStr::from_ptr(last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn failures_are_kept_for_their_thread() {
        assert_eq!(guard(|| Err(Failure::null("q"))), OxmlaStatus::NullPointer);
        assert_eq!(guard(|| Ok(())), OxmlaStatus::Ok);
        assert_eq!(last_text(), "`q` must not be null");
        std::thread::spawn(|| assert_eq!(last_text(), "")).join().unwrap();
    }

    #[test]
    fn panics_become_statuses() {
        assert_eq!(guard(|| panic!("one and one is {}", 3)), OxmlaStatus::Internal);
        assert_eq!(last_text(), "defect of the library: one and one is 3");
        assert_eq!(guard(|| panic!("plain")), OxmlaStatus::Internal);
        assert_eq!(last_text(), "defect of the library: plain");
        assert_eq!(guard(|| std::panic::panic_any(7)), OxmlaStatus::Internal);
        assert_eq!(last_text(), "defect of the library: panic");
    }

    #[test]
    fn errors_of_the_library_keep_their_words() {
        let error = || Error::NoDriver { reason: "none".to_owned() };
        assert_eq!(guard(|| Err(error().into())), OxmlaStatus::NoDriver);
        assert_eq!(last_text(), error().to_string());
    }
}
