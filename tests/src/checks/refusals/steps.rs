//! Steps that do not fit the planner or the cache.

use anyhow::{Context, Result};
use oxmla::{DType, Error, Location, Mask, Step, StreamRef, TensorRef};

use super::Bench;

/// The planner of the bench was made for this batch.
const BATCH: usize = 3;
/// And for this many query tokens.
const S_Q: u32 = 2;
/// And for tables of this many columns.
const COLUMNS: usize = 4;
/// And for a cache of this many blocks.
const BLOCKS: usize = 7;

/// A step as it comes in.
struct Request {
    lengths: Vec<i32>,
    table: Vec<i32>,
    columns: usize,
    s_q: u32,
    mask: Mask,
}

impl Request {
    fn fine() -> Self {
        let table = vec![6, 5, -1, -1, i32::MAX, -1, -1, -1, 0, 1, -1, -1];
        Self { lengths: vec![100, 0, 70], table, columns: COLUMNS, s_q: S_Q, mask: Mask::None }
    }

    fn step(&self) -> oxmla::Result<Step<'_>> {
        let block_table = TensorRef::from_slice(&self.table, &[self.lengths.len(), self.columns])?;
        Ok(Step { lengths: &self.lengths, block_table, s_q: self.s_q, mask: self.mask })
    }
}

pub fn all(bench: &mut Bench<'_>) -> Result<()> {
    capacities(bench).context("capacities")?;
    contents(bench).context("contents")?;
    tables(bench).context("table")?;
    foreign_stream(bench).context("stream")
}

/// `plan` of a step that `spoil` has changed must give `expected`.
fn refuses(
    bench: &mut Bench<'_>,
    expected: &Error,
    spoil: impl FnOnce(&mut Request),
) -> Result<()> {
    let mut request = Request::fine();
    spoil(&mut request);
    let stream = bench.stream();
    let outcome = bench.planner.plan(stream, request.step()?).map(drop);
    bench.check(expected, outcome)
}

fn capacities(bench: &mut Bench<'_>) -> Result<()> {
    let capacity = |quantity, limit, got| Error::Capacity { quantity, limit, got };
    refuses(bench, &capacity("batch", BATCH, 4), |request| {
        request.lengths.push(0);
        request.table.extend([0; COLUMNS]);
    })?;
    refuses(bench, &capacity("s_q", S_Q as usize, 3), |request| request.s_q = 3)?;
    let none = Error::OutOfRange { arg: "s_q", min: 1, max: u32::MAX.into(), got: 0 };
    refuses(bench, &none, |request| request.s_q = 0)?;
    let none = Error::OutOfRange { arg: "window", min: 1, max: u32::MAX.into(), got: 0 };
    refuses(bench, &none, |request| request.mask = Mask::Causal.within(0))?;
    refuses(bench, &capacity("max_blocks", COLUMNS, 5), |request| {
        request.table = vec![0; BATCH * 5];
        request.columns = 5;
    })
}

fn contents(bench: &mut Bench<'_>) -> Result<()> {
    for got in [-1, i32::MIN] {
        let error = Error::NegativeLength { request: 1, got };
        refuses(bench, &error, |request| request.lengths[1] = got)?;
    }
    for length in [64 * COLUMNS as i32 + 1, i32::MAX] {
        let error = Error::LengthBeyondTable { request: 1, length, blocks: COLUMNS };
        refuses(bench, &error, |request| request.lengths[1] = length)?;
    }
    for id in [-1, i32::MIN, BLOCKS as i32, i32::MAX] {
        let error = Error::BlockOutOfPool { request: 2, index: 1, id, blocks: BLOCKS };
        refuses(bench, &error, |request| request.table[2 * COLUMNS + 1] = id)?;
    }
    // One token more makes an entry count that did not before.
    let error = Error::BlockOutOfPool { request: 0, index: 2, id: -1, blocks: BLOCKS };
    refuses(bench, &error, |request| request.lengths[0] = 129)
}

/// Tables that are not `[batch, max_blocks] i32` on the host.
fn tables(bench: &mut Bench<'_>) -> Result<()> {
    let request = Request::fine();
    let address = request.step()?.block_table.address();
    let floats = vec![0f32; BATCH * COLUMNS];
    let elsewhere = Location::Cuda { ordinal: 0 };
    let raw = |address, location| {
        // SAFETY: only for calls that are refused.
        unsafe {
            TensorRef::from_raw(address, DType::I32, &[BATCH, COLUMNS], &[COLUMNS, 1], location)
        }
    };
    let arg = "block_table";
    for (table, error) in [
        (
            TensorRef::from_slice(&request.table, &[BATCH * COLUMNS])?,
            Error::RankMismatch { arg, expected: 2, got: 1 },
        ),
        (
            TensorRef::from_slice(&request.table, &[BATCH - 1, COLUMNS])?,
            Error::ShapeMismatch { arg, axis: "batch", expected: BATCH, got: BATCH - 1 },
        ),
        (
            TensorRef::from_slice(&floats, &[BATCH, COLUMNS])?,
            Error::DTypeMismatch { arg, expected: DType::I32, got: DType::F32 },
        ),
        (
            raw(address, elsewhere)?,
            Error::LocationMismatch { arg, expected: Location::Host, got: elsewhere },
        ),
        (
            raw(address + 2, Location::Host)?,
            Error::Misaligned { arg, required: 4, got: address + 2 },
        ),
    ] {
        let step = Step { block_table: table, ..request.step()? };
        let stream = bench.stream();
        let outcome = bench.planner.plan(stream, step).map(drop);
        bench.check(&error, outcome)?;
    }
    Ok(())
}

/// A stream of another device.
fn foreign_stream(bench: &mut Bench<'_>) -> Result<()> {
    let (expected, got) = (bench.device().location(), bench.elsewhere());
    let stream = match got {
        Location::Host => StreamRef::cpu(),
        // SAFETY: the default stream always lives; and the call is refused before it uses it.
        Location::Cuda { ordinal } => unsafe { StreamRef::from_raw(std::ptr::null_mut(), ordinal) },
    };
    let outcome = bench.planner.plan(stream, Request::fine().step()?).map(drop);
    bench.check(&Error::LocationMismatch { arg: "stream", expected, got }, outcome)
}
