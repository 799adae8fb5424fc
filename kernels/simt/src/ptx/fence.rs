//! Fences: `fence.proxy`, `fence.mbarrier_init`, `fence.acq_rel`.

use crate::injection::Change;
use crate::machine::context::{execute, injected};

/// `fence.proxy.async.shared::cta`: the thread's earlier generic accesses to shared memory come before what
/// the async proxy does after the next barrier.
#[track_caller]
pub fn proxy_async_shared() {
    if injected(Change::DropProxyFence) {
        return;
    }
    execute(|gang, thread| {
        gang.clocks.fence(thread);
        Ok(())
    });
}

/// `fence.proxy.async`: the same for all of memory.
#[track_caller]
pub fn proxy_async() {
    proxy_async_shared();
}

/// `fence.mbarrier_init.release.cluster`: the thread's `mbarrier.init`s become visible to the async proxy
/// and the cluster after the next barrier.
#[track_caller]
pub fn mbarrier_init() {
    proxy_async_shared();
}

/// `fence.acq_rel.gpu`: what comes before it comes before the thread's later relaxed stores and atomics, for
/// whoever acquires them; and what its earlier relaxed loads have met comes before what follows.
#[track_caller]
pub fn gpu() {
    if injected(Change::DropMemoryFence) {
        return;
    }
    execute(|gang, thread| {
        gang.fence_gpu(thread);
        Ok(())
    });
}
