//! Registers: `setmaxnreg`.

use std::panic::Location;

use crate::machine::collective::Op;
use crate::machine::context::execute_blocking;

#[track_caller]
fn set(count: u32, increase: bool) {
    let line = Location::caller();
    let op = Op::SetRegisters { count, increase };
    execute_blocking(|gang, thread| gang.with_warpgroup(thread, op, [0; 8], line));
}

/// `setmaxnreg.dec`: the warpgroup gives back all but `count` registers per thread.
#[track_caller]
pub fn decrease(count: u32) {
    set(count, false);
}

/// `setmaxnreg.inc`: the warpgroup waits until it has `count` registers per thread.
#[track_caller]
pub fn increase(count: u32) {
    set(count, true);
}
