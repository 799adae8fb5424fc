//! Copies of 16 or 8 bytes by each thread. PTX ISA: Data Movement, `cp.async`; Parallel Synchronization,
//! `cp.async.mbarrier.arrive`.
//!
//! They write through the generic proxy: before `wgmma` reads what they wrote, somebody who has waited for them executes
//! [`super::fence::proxy_async_shared`].

use core::arch::asm;

/// `cp.async.cg.shared.global`: 16 bytes, of which those from `bytes` on are zero and not read. L2 fetches 256.
///
/// Without `L2::cache_hint`: where addresses in shared memory have a uniform part, ptxas 13.0 puts that part and the hint into
/// a pair of uniform registers, of which it copies some and forgets to write the copy; the hardware then stops with an
/// illegal instruction.
///
/// # Safety
/// - `destination` is 16-byte aligned and 16 bytes from it are inside the CTA's shared memory; nobody touches them until
///   the copy has been waited for.
/// - `source` is 16-byte aligned, and `bytes` bytes from it are readable global memory.
#[inline(always)]
pub unsafe fn copy_16(destination: u32, source: u64, bytes: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "cp.async.cg.shared.global.L2::256B [{}], [{}], 16, {};",
            in(reg32) destination, in(reg64) source, in(reg32) bytes,
            options(nostack)
        )
    };
}

/// `cp.async.ca.shared.global`: 8 bytes, of which those from `bytes` on are zero and not read; through L1, past which only
/// 16 go.
///
/// # Safety
/// As for [`copy_16`], with 8 in the place of 16.
#[inline(always)]
pub unsafe fn copy_8(destination: u32, source: u64, bytes: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "cp.async.ca.shared.global [{}], [{}], 8, {};",
            in(reg32) destination, in(reg64) source, in(reg32) bytes,
            options(nostack)
        )
    };
}

/// `cp.async.mbarrier.arrive.noinc`: one arrival when all of the thread's earlier copies have landed.
///
/// # Safety
/// `barrier` is an initialised barrier whose current phase still lacks an arrival.
#[inline(always)]
pub unsafe fn arrive(barrier: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [{}];", in(reg32) barrier, options(nostack))
    };
}

/// `cp.async.wait_all`: until all of the thread's copies have landed.
#[inline(always)]
pub fn wait_all() {
    // SAFETY: only waits.
    unsafe { asm!("cp.async.wait_all;", options(nostack)) };
}
