//! Named barriers: `bar`.

use std::panic::Location;

use crate::injection::Change;
use crate::machine::collective::Op;
use crate::machine::context::{execute_blocking, injected};

const ALL: u32 = u32::MAX;

/// `bar.sync 0`: all threads of the CTA that have not ended.
#[track_caller]
pub fn sync_threads() {
    sync(0, 0);
}

/// `bar.sync id, threads`: arrives and waits. 0 threads stands for all of the CTA.
#[track_caller]
pub fn sync(id: u32, threads: u32) {
    if injected(Change::DropBarrier) {
        return;
    }
    let line = Location::caller();
    let op = Op::BarSync { id, threads };
    execute_blocking(|gang, thread| gang.with_warp(thread, op, ALL, [0; 8], line));
}

/// `bar.arrive id, threads`: arrives and goes on.
#[track_caller]
pub fn arrive(id: u32, threads: u32) {
    if injected(Change::DropArrival) {
        return;
    }
    let line = Location::caller();
    let op = Op::BarArrive { id, threads };
    execute_blocking(|gang, thread| gang.with_warp(thread, op, ALL, [0; 8], line));
}
