//! Communication inside a warp: `shfl`, `vote`, `redux`, `match`, `elect`, `bar.warp`.
//!
//! Only [`sync`] orders memory among the lanes.

use std::panic::Location;

use crate::machine::Words;
use crate::machine::collective::Op;
use crate::machine::context::execute_blocking;
use crate::machine::poison;
pub use crate::machine::warp::{Reduce, Shuffle};

/// All 32 lanes.
pub const ALL: u32 = u32::MAX;

#[track_caller]
fn exchange(op: Op, mask: u32, input: Words) -> Words {
    let line = Location::caller();
    execute_blocking(|gang, thread| gang.with_warp(thread, op, mask, input, line))
}

/// `bar.warp.sync`: waits for the lanes of `mask` and orders memory among them.
#[track_caller]
pub fn sync(mask: u32) {
    exchange(Op::SyncWarp, mask, [0; 8]);
}

/// `shfl.sync`, with the operands `b` and `c` of the instruction. Returns the value and whether its lane lies
/// in the segment.
#[track_caller]
pub fn shuffle(mode: Shuffle, value: u32, b: u32, c: u32, mask: u32) -> (u32, bool) {
    let input = [value.into(), b.into(), c.into(), 0, 0, 0, 0, 0];
    let output = exchange(Op::Shuffle(mode), mask, input);
    (output[0] as u32, output[1] != 0)
}

/// `shfl.sync.idx`: the value of lane `source`, in all lanes.
#[track_caller]
#[must_use]
pub fn broadcast(value: u32, source: u32) -> u32 {
    shuffle(Shuffle::Index, value, source, 31, ALL).0
}

/// `shfl.sync.bfly` of an `f32`: the value of the lane whose index differs in the bits of `lanes`.
#[track_caller]
#[must_use]
pub fn butterfly(value: f32, lanes: u32) -> f32 {
    poison::check_values(&[value], "a shuffle");
    f32::from_bits(shuffle(Shuffle::Butterfly, value.to_bits(), lanes, 31, ALL).0)
}

/// `shfl.sync.up`: the value `delta` lanes below, or zero where there is none.
#[track_caller]
#[must_use]
pub fn up_or_zero(value: u32, delta: u32) -> u32 {
    let (value, inside) = shuffle(Shuffle::Up, value, delta, 0, ALL);
    if inside { value } else { 0 }
}

/// `redux.sync` over all lanes.
#[track_caller]
#[must_use]
pub fn reduce(operation: Reduce, value: u32) -> u32 {
    exchange(Op::Reduce(operation), ALL, [value.into(), 0, 0, 0, 0, 0, 0, 0])[0] as u32
}

/// `redux.sync.add.u32`: the sum over all lanes.
#[track_caller]
#[must_use]
pub fn sum(value: u32) -> u32 {
    reduce(Reduce::Add, value)
}

/// `redux.sync.max.u32`: the largest over all lanes.
#[track_caller]
#[must_use]
pub fn max(value: u32) -> u32 {
    reduce(Reduce::MaxUnsigned, value)
}

/// `vote.sync.ballot`: one bit for each lane whose `condition` holds.
#[track_caller]
#[must_use]
pub fn ballot(condition: bool) -> u32 {
    exchange(Op::Ballot, ALL, [condition.into(), 0, 0, 0, 0, 0, 0, 0])[0] as u32
}

/// `vote.sync.all`: whether `condition` holds in every lane.
#[track_caller]
#[must_use]
pub fn all(condition: bool) -> bool {
    ballot(!condition) == 0
}

/// `vote.sync.any`: whether `condition` holds in some lane.
#[track_caller]
#[must_use]
pub fn any(condition: bool) -> bool {
    ballot(condition) != 0
}

/// `match.any.sync`: the lanes that gave the same value.
#[track_caller]
#[must_use]
pub fn match_any(value: u32) -> u32 {
    exchange(Op::MatchAny, ALL, [value.into(), 0, 0, 0, 0, 0, 0, 0])[0] as u32
}

/// `elect.sync`: true in one lane.
#[track_caller]
#[must_use]
pub fn elect() -> bool {
    exchange(Op::Elect, ALL, [0; 8])[1] != 0
}
