//! Barriers in shared memory that count arrivals and bytes: `mbarrier`.

use crate::injection::Change;
use crate::machine::context::{execute, execute_blocking, injected, pause};

/// `mbarrier.init`: a barrier that `arrivals` arrivals complete.
#[track_caller]
pub fn init(address: u32, arrivals: u32) {
    execute(|gang, thread| gang.mbarrier_init(thread, address, arrivals));
}

/// `mbarrier.inval`: the memory may be used for something else.
#[track_caller]
pub fn invalidate(address: u32) {
    execute(|gang, thread| gang.mbarrier_invalidate(thread, address));
}

/// `mbarrier.arrive`: one arrival, with release semantics. `address` may be that of another CTA of the
/// cluster.
#[track_caller]
pub fn arrive(address: u32) {
    arrive_many(address, 1);
}

/// `mbarrier.arrive` with a count.
#[track_caller]
pub fn arrive_many(address: u32, arrivals: u32) {
    if injected(Change::DropArrival) {
        return;
    }
    execute(|gang, thread| {
        let (cta, address) = gang.resolve(thread, address)?;
        gang.mbarrier_arrive(thread, cta, address, arrivals, 0)
    });
}

/// `mbarrier.arrive.expect_tx`: announces `bytes` that asynchronous copies will write in this phase, then
/// arrives once.
#[track_caller]
pub fn arrive_expect(address: u32, bytes: u32) {
    if injected(Change::DropArrival) {
        return;
    }
    execute(|gang, thread| {
        let (cta, address) = gang.resolve(thread, address)?;
        gang.mbarrier_arrive(thread, cta, address, 1, bytes)
    });
}

/// `mbarrier.expect_tx`: announces `bytes` without arriving.
#[track_caller]
pub fn expect(address: u32, bytes: u32) {
    execute(|gang, thread| {
        let (cta, address) = gang.resolve(thread, address)?;
        gang.mbarrier_expect(thread, cta, address, bytes)
    });
}

/// `mbarrier.test_wait.parity`: whether the phase of `parity` has completed, with acquire semantics if so.
#[track_caller]
#[must_use]
pub fn test_wait(address: u32, parity: u32) -> bool {
    let done = execute(|gang, thread| gang.mbarrier_test(thread, address, parity));
    if !done {
        pause();
    }
    done
}

/// `mbarrier.try_wait.parity`, which suspends the thread until the phase of `parity` has completed. The
/// hardware may give up earlier; the machine never does, so that a wait in vain is a deadlock it can report.
#[track_caller]
pub fn try_wait(address: u32, parity: u32) -> bool {
    if injected(Change::DropMbarrierWait) {
        return true;
    }
    let parity = parity ^ u32::from(injected(Change::FlipParity));
    execute_blocking(|gang, thread| gang.mbarrier_wait(thread, address, parity))[0] != 0
}

/// `mbarrier.try_wait.parity` until it succeeds.
#[track_caller]
pub fn wait(address: u32, parity: u32) {
    while !try_wait(address, parity) {}
}
