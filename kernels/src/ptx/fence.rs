//! Fences. PTX ISA: Memory Consistency Model; `membar`/`fence`.

use core::arch::asm;

/// `fence.proxy.async.shared::cta`: this thread's earlier generic accesses to shared memory come before
/// later accesses through the async proxy (`wgmma` operands, TMA).
///
/// Every thread that wrote executes it, then a barrier, and only then may anyone issue the `wgmma`/TMA.
#[inline(always)]
pub fn proxy_async_shared() {
    // SAFETY: a fence only orders.
    unsafe { asm!("fence.proxy.async.shared::cta;", options(nostack)) };
}

/// `fence.mbarrier_init.release.cluster`: makes `mbarrier.init` visible to the async proxy and to the
/// other CTAs of the cluster, once a barrier has followed it.
#[inline(always)]
pub fn mbarrier_init() {
    // SAFETY: a fence only orders.
    unsafe { asm!("fence.mbarrier_init.release.cluster;", options(nostack)) };
}
