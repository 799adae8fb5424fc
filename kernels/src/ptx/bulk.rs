//! Groups of a thread's bulk stores. PTX ISA: Data Movement, `cp.async.bulk.commit_group`,
//! `cp.async.bulk.wait_group`.

use core::arch::asm;

/// `cp.async.bulk.commit_group`: the thread's bulk stores since the last commit become one group.
///
/// # Safety
/// The thread that issued them calls it.
#[inline(always)]
pub unsafe fn commit() {
    // SAFETY: the caller's promise.
    unsafe { asm!("cp.async.bulk.commit_group;", options(nostack)) };
}

/// `cp.async.bulk.wait_group.read PENDING`: until at most that many of the thread's groups still read shared memory.
///
/// # Safety
/// The thread that committed them calls it.
#[inline(always)]
pub unsafe fn wait_read<const PENDING: u32>() {
    // SAFETY: the caller's promise.
    unsafe { asm!("cp.async.bulk.wait_group.read {};", const PENDING, options(nostack)) };
}
