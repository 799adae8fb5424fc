//! Named barriers. PTX ISA: Parallel Synchronization, `bar`, `barrier`.
//!
//! A CTA has 16 of them; 0 is the one that `sync_threads` uses. Each completes when `THREADS` threads
//! have arrived, whole warps at a time. Generic reads and writes of shared memory before an arrival are
//! visible to every thread that the barrier releases; for the async proxy (`wgmma`, TMA) the writer adds
//! [`super::fence::proxy_async_shared`] first.
//!
//! LLVM does not know that the lanes of a warp have to meet at the same instruction. `if c { … } barrier; if c { … }`
//! with a `c` that differs among lanes it may turn into two branches with a barrier each, and the warp never comes out
//! (seen on an H100: `docs/performance-notes.md`, M3). `cargo xtask ptx` refuses such PTX. Hide the second condition from the first
//! ([`super::registers::opaque`]), or let the lanes meet at `warp::sync` in between.

use core::arch::asm;

/// `bar.sync 0`: all threads of the CTA.
///
/// # Safety
/// Every thread of the CTA reaches it.
#[inline(always)]
pub unsafe fn sync_threads() {
    // SAFETY: the caller's promise.
    unsafe { asm!("bar.sync 0;", options(nostack)) };
}

/// `bar.sync ID, THREADS`: arrives and waits.
///
/// # Safety
/// - `ID` is 1–15 and `THREADS` a multiple of 32, the same in every use of this phase of the barrier.
/// - All lanes of the warp are converged.
#[inline(always)]
pub unsafe fn sync<const ID: u32, const THREADS: u32>() {
    // SAFETY: the caller's promise.
    unsafe { asm!("bar.sync {}, {};", const ID, const THREADS, options(nostack)) };
}

/// `bar.arrive ID, THREADS`: arrives and goes on.
///
/// # Safety
/// As for [`sync`]; some other warp waits for the same phase.
#[inline(always)]
pub unsafe fn arrive<const ID: u32, const THREADS: u32>() {
    // SAFETY: the caller's promise.
    unsafe { asm!("bar.arrive {}, {};", const ID, const THREADS, options(nostack)) };
}
