//! Bulk copies of consecutive bytes: `cp.async.bulk`, `cp.reduce.async.bulk`, and their groups.
//!
//! Sizes are multiples of 16, addresses 16-byte aligned.

use std::panic::Location;

use crate::machine::bulk::Target;
use crate::machine::context::{execute, execute_at};
use crate::machine::copy::Source;
use crate::machine::shadow::Access;
use crate::machine::shared::{Direction, Visit};

/// `cp.async.bulk.shared::cluster.global`: `bytes` bytes from global memory, counted on `barrier`.
#[track_caller]
pub fn load(destination: u32, source: u64, bytes: u32, barrier: u32) {
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        let cta = gang.cta_of(thread);
        let source = Source::Global(source);
        gang.copy_in(thread, source, bytes, &[cta], destination, barrier, line)
    });
}

/// The same with `.multicast::cluster`.
#[track_caller]
pub fn load_multicast(destination: u32, source: u64, bytes: u32, barrier: u32, ctas: u16) {
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        let ctas = gang.ctas_of(thread, ctas)?;
        let source = Source::Global(source);
        gang.copy_in(thread, source, bytes, &ctas, destination, barrier, line)
    });
}

/// `cp.async.bulk.shared::cluster.shared::cta`: from this CTA's shared memory to another's. `destination` and
/// `barrier` are addresses of the cluster.
#[track_caller]
pub fn copy_to_cluster(destination: u32, source: u32, bytes: u32, barrier: u32) {
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        let own = gang.cta_of(thread);
        let offset = gang.ctas[own].shared.check(source, bytes, 16)?;
        let (cta, destination) = gang.resolve(thread, destination)?;
        let (_, barrier) = gang.resolve(thread, barrier)?;
        // The source counts as read when the copy completes on the far barrier.
        let (slot, epoch) = gang.completion(thread, cta, barrier)?;
        let access = Access::asynchronous(slot, epoch);
        let visit = Visit { access, issuers: &[thread], what: "a bulk copy", line };
        gang.visit(&visit, own, Direction::Read, offset, bytes)?;
        let source = Source::Shared(own, offset);
        gang.copy_in(thread, source, bytes, &[cta], destination, barrier, line)
    });
}

/// `cp.async.bulk.global.shared::cta`: to global memory, in the thread's bulk group.
#[track_caller]
pub fn store(destination: u64, source: u32, bytes: u32) {
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        gang.copy_out(thread, Target::Global(destination), source, bytes, line)
    });
}

/// `cp.reduce.async.bulk.global.shared::cta.add.f32`: adds to global memory, in the thread's bulk group.
#[track_caller]
pub fn add_f32(destination: u64, source: u32, bytes: u32) {
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        gang.copy_out(thread, Target::GlobalAdd(destination), source, bytes, line)
    });
}

/// `cp.async.bulk.commit_group`: the thread's stores since the last commit become one group.
#[track_caller]
pub fn commit() {
    execute(|gang, thread| {
        gang.bulk_commit(thread);
        Ok(())
    });
}

/// `cp.async.bulk.wait_group`: waits until at most `pending` groups are under way.
#[track_caller]
pub fn wait(pending: u32) {
    execute(|gang, thread| gang.bulk_wait(thread, pending, false));
}

/// `cp.async.bulk.wait_group.read`: waits until at most `pending` groups still read shared memory.
#[track_caller]
pub fn wait_read(pending: u32) {
    execute(|gang, thread| gang.bulk_wait(thread, pending, true));
}
