//! Copies by single threads: `cp.async`. Through the generic proxy.

use std::panic::Location;

use crate::injection::Change;
use crate::machine::context::{execute, execute_at, injected};

/// `cp.async.{ca, cg}.shared.global [destination], [source], bytes, from_source`: 4, 8 or 16 bytes, of which
/// those beyond `from_source` are zero.
#[track_caller]
pub fn copy(destination: u32, source: u64, bytes: u32, from_source: u32) {
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        gang.cp_async(thread, destination, bytes, (source, from_source), line)
    });
}

/// `cp.async.commit_group`: the thread's copies since the last commit become one group.
#[track_caller]
pub fn commit() {
    execute(|gang, thread| {
        gang.cp_async_commit(thread);
        Ok(())
    });
}

/// `cp.async.wait_group`: waits until at most `pending` groups are under way.
#[track_caller]
pub fn wait(pending: u32) {
    execute(|gang, thread| gang.cp_async_wait(thread, pending));
}

/// `cp.async.mbarrier.arrive.noinc`: an arrival on `barrier` once all earlier copies of the thread have landed.
#[track_caller]
pub fn arrive(barrier: u32) {
    if injected(Change::DropArrival) {
        return;
    }
    let line = Location::caller();
    execute_at(line, |gang, thread| gang.cp_async_arrive(thread, barrier, line));
}
