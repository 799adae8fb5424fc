//! Dependent launches: a grid that starts before the one it depends on has ended. PTX ISA: Parallel
//! Synchronization, `griddepcontrol`.

use core::arch::asm;

/// `griddepcontrol.launch_dependents`: once every CTA has executed it or ended, a dependent grid may start.
#[inline(always)]
pub fn launch_dependents() {
    // SAFETY: a signal.
    unsafe { asm!("griddepcontrol.launch_dependents;", options(nostack)) };
}

/// `griddepcontrol.wait`: until the grids that this one depends on have ended and their writes are visible.
#[inline(always)]
pub fn wait() {
    // SAFETY: a wait.
    unsafe { asm!("griddepcontrol.wait;", options(nostack)) };
}
