//! Which context is current on the calling thread.

use std::marker::PhantomData;
use std::ptr::null_mut;

use super::driver::{Driver, Handle};
use crate::error::Result;

/// While it lives, a context is current on this thread.
///
/// A thread without a current context keeps this one afterwards, which makes the next call cheaper; a thread
/// with another one gets it back, so that a program that works with several GPUs notices nothing.
pub(super) struct Current<'a> {
    driver: &'a Driver,
    previous: Option<Handle>,
    /// Contexts are current on threads, so the value stays on its own.
    this_thread: PhantomData<*mut ()>,
}

impl<'a> Current<'a> {
    pub(super) fn enter(driver: &'a Driver, context: Handle) -> Result<Self> {
        let mut current = null_mut();
        // SAFETY: the result has a place.
        unsafe { driver.cuCtxGetCurrent(&mut current)? };
        if current != context {
            // SAFETY: the caller's device has retained the context.
            unsafe { driver.cuCtxSetCurrent(context)? };
        }
        let foreign = current != context && !current.is_null();
        Ok(Self { driver, previous: foreign.then_some(current), this_thread: PhantomData })
    }

    pub(super) fn driver(&self) -> &'a Driver {
        self.driver
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        if let Some(previous) = self.previous {
            // SAFETY: the context was current on this thread a moment ago. Should it have been destroyed
            // since, the driver says so, and there is nothing to restore.
            let _ = unsafe { self.driver.cuCtxSetCurrent(previous) };
        }
    }
}
