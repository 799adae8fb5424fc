//! Named barriers. PTX ISA: Parallel Synchronization, `bar`, `barrier`.
//!
//! A CTA has 16 of them; 0 is the one that `sync_threads` uses. Each completes when `THREADS` threads
//! have arrived, whole warps at a time. Generic reads and writes of shared memory before an arrival are
//! visible to every thread that the barrier releases; for the async proxy (`wgmma`, TMA) the writer adds
//! [`super::fence::proxy_async_shared`] first.
//!
//! The lanes of a warp have to meet at the same instruction. Of its own intrinsics LLVM knows that; an asm block in
//! `if c { … } barrier; if c { … }`, with a `c` that differs among lanes, it turned into one for each branch, and the warp
//! never came out (on an H100: `docs/performance-notes.md`, M3).

unsafe extern "C" {
    #[link_name = "llvm.nvvm.barrier.cta.sync.aligned.all"]
    fn sync_all(barrier: u32);
    #[link_name = "llvm.nvvm.barrier.cta.sync.aligned.count"]
    fn sync_count(barrier: u32, threads: u32);
    #[link_name = "llvm.nvvm.barrier.cta.arrive.aligned.count"]
    fn arrive_count(barrier: u32, threads: u32);
}

/// `bar.sync 0`: all threads of the CTA.
///
/// # Safety
/// Every thread of the CTA reaches it.
#[inline(always)]
pub unsafe fn sync_threads() {
    // SAFETY: the caller's promise.
    unsafe { sync_all(0) };
}

/// `bar.sync ID, THREADS`: arrives and waits.
///
/// # Safety
/// - `ID` is 1–15 and `THREADS` a multiple of 32, the same in every use of this phase of the barrier.
/// - All lanes of the warp are converged.
#[inline(always)]
pub unsafe fn sync<const ID: u32, const THREADS: u32>() {
    // SAFETY: the caller's promise.
    unsafe { sync_count(ID, THREADS) };
}

/// `bar.arrive ID, THREADS`: arrives and goes on.
///
/// # Safety
/// As for [`sync`]; some other warp waits for the same phase.
#[inline(always)]
pub unsafe fn arrive<const ID: u32, const THREADS: u32>() {
    // SAFETY: the caller's promise.
    unsafe { arrive_count(ID, THREADS) };
}
