//! The tensor memory accelerator: `cp.async.bulk.tensor`.

use std::panic::Location;

use crate::machine::bulk::Target;
use crate::machine::context::{execute, execute_at};
use crate::machine::copy::Source;

/// `prefetch.tensormap`. `map` is an address that [`Memory::tensor_map`](crate::Memory::tensor_map) gave out.
#[track_caller]
pub fn prefetch(map: u64) {
    execute(|gang, _| gang.memory.map(map).map(drop));
}

/// `cp.async.bulk.tensor` into shared memory: copies the box at `coordinates` (innermost first, in elements, that
/// one a multiple of 16 bytes) and counts its full size in bytes on `barrier`; elements out of bounds arrive as zeros.
#[track_caller]
pub fn load(map: u64, destination: u32, barrier: u32, coordinates: &[i32]) {
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        let bytes = gang.memory.map(map)?.box_bytes();
        let source = Source::Tensor(map, coordinates.to_vec());
        let cta = gang.cta_of(thread);
        gang.copy_in(thread, source, bytes, &[cta], destination, barrier, line)
    });
}

/// The same with `.multicast::cluster`: into every CTA of the cluster whose bit is set in `ctas`, at the same
/// address and counted on the mbarrier at the same address there.
#[track_caller]
pub fn load_multicast(map: u64, destination: u32, barrier: u32, coordinates: &[i32], ctas: u16) {
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        let bytes = gang.memory.map(map)?.box_bytes();
        let source = Source::Tensor(map, coordinates.to_vec());
        let ctas = gang.ctas_of(thread, ctas)?;
        gang.copy_in(thread, source, bytes, &ctas, destination, barrier, line)
    });
}

/// `cp.async.bulk.tensor` from shared memory, in the thread's bulk group; elements out of bounds are dropped.
#[track_caller]
pub fn store(map: u64, source: u32, coordinates: &[i32]) {
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        let bytes = gang.memory.map(map)?.box_bytes();
        let target = Target::Tensor(map, coordinates.to_vec());
        gang.copy_out(thread, target, source, bytes, line)
    });
}
