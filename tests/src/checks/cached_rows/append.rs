//! New tokens.

use anyhow::{Result, ensure};
use oxmla::cache::{AppendRows, append};
use oxmla::{DType, Device, Error, Location, Mask, MlaDims, Planner, PlannerConfig, TensorRef};

use super::step::{Shape, Step};
use crate::session::Session;

/// Rows land in their slots, right, whatever the batch looks like, and nothing else is written.
pub fn new_rows(session: &mut Session) -> Result<()> {
    for (seed, shape) in shapes().into_iter().enumerate() {
        let mut step = Step::new(session.device(), shape, seed as u64)?;
        append(session.device(), session.stream().as_ref(), step.args()?)?;
        session.stream().synchronize()?;
        step.verify()?;
    }
    Ok(())
}

fn shapes() -> Vec<Shape> {
    let borders = vec![(1, 1), (1, 64), (1, 65), (1, 128), (1, 129), (1, 300)];
    let ragged = vec![(70, 140), (0, 77), (3, 65), (64, 64), (0, 0), (2, 130), (1, 1)];
    let many = (0..70).map(|r| (r % 3, (r % 3 + r % 7) as i32)).collect();
    let base = Shape::default();
    let f16 = Shape { dtype: DType::F16, ..base.clone() };
    vec![
        Shape { requests: borders.clone(), ragged: false, ..base.clone() },
        Shape { requests: borders, ragged: false, ..f16.clone() },
        Shape { requests: ragged.clone(), ..base.clone() },
        Shape { requests: ragged.clone(), gaps: true, ..f16 },
        Shape { requests: ragged.clone(), normalise: false, rotate: false, ..base.clone() },
        Shape { requests: ragged.clone(), normalise: false, ..base.clone() },
        Shape { requests: ragged.clone(), rotate: false, ..base.clone() },
        Shape { requests: ragged.clone(), block_size: 16, ..base.clone() },
        Shape { requests: ragged.clone(), block_size: 32, gaps: true, ..base.clone() },
        Shape { requests: ragged, block_size: 128, ..base.clone() },
        Shape { requests: many, ..base.clone() },
        // Of the first request, only the last two rows have a position.
        Shape { requests: vec![(4, 2), (4, 66)], ragged: false, ..base.clone() },
        Shape { requests: vec![(0, 3), (0, 0)], ..base },
    ]
}

/// Lengths and table of a planner serve as they are.
pub fn rows_of_a_plan(session: &mut Session) -> Result<()> {
    let requests = vec![(2, 65), (2, 2), (2, 200)];
    let shape = Shape { requests, ragged: false, gaps: true, ..Shape::default() };
    let mut step = Step::new(session.device(), shape.clone(), 40)?;
    let config = PlannerConfig {
        dims: MlaDims::new(16, 1)?,
        dtype: shape.dtype,
        max_batch: 5,
        max_blocks_per_sequence: step.columns + 3,
        max_s_q: 2,
        block_size: oxmla::BLOCK_SIZE,
        blocks_in_cache: step.cache.shape()[0],
    };
    let stream = session.stream().as_ref();
    let mut planner = Planner::new(session.device(), config)?;
    let lengths: Vec<i32> = shape.requests.iter().map(|&(_, length)| length).collect();
    let block_table = TensorRef::from_slice(&step.table, &[lengths.len(), step.columns])?;
    let planned = oxmla::Step { lengths: &lengths, block_table, s_q: 2, mask: Mask::Causal };
    let plan = planner.plan(stream, planned)?;
    let args = AppendRows {
        lengths: planner.lengths(&plan)?,
        block_table: planner.block_table(&plan)?,
        ..step.args()?
    };
    append(session.device(), stream, args)?;
    session.stream().synchronize()?;
    step.verify()
}

/// Overwrites an index on the device.
type Spoil = fn(&mut Step) -> oxmla::Result<()>;

/// Lengths, ids and offsets that make no sense: refused where the host can read them, else the rows are left out.
pub fn rows_without_a_place(session: &mut Session) -> Result<()> {
    let device = session.device().clone();
    let spoilt: [(&str, Spoil); 6] = [
        ("id of no block", |step| step.device_table.write_slice(&[1 << 20, i32::MAX])),
        ("negative id", |step| step.device_table.write_slice(&[-1, i32::MIN])),
        ("length beyond the table", |step| step.device_lengths.write_slice(&[130])),
        ("largest length", |step| step.device_lengths.write_slice(&[i32::MAX])),
        ("negative length", |step| step.device_lengths.write_slice(&[i32::MIN])),
        ("offsets of more rows", |step| step.write_offsets(&[i32::MAX, i32::MAX])),
    ];
    for (name, spoil) in spoilt {
        let shape = Shape { requests: vec![(2, 66)], ..Shape::default() };
        let mut step = Step::new(&device, shape, 50)?;
        spoil(&mut step)?;
        let result = append(&device, session.stream().as_ref(), step.args()?);
        session.stream().synchronize()?;
        ensure!(is_as_said(&device, &result), "{name} was answered with {result:?}");
        ensure!(step.cache.is_untouched()?, "{name}: something was written");
    }
    Ok(())
}

/// An error that names the index, or on a GPU, success.
fn is_as_said(device: &Device, result: &oxmla::Result<()>) -> bool {
    match result {
        Ok(()) => device.location() != Location::Host,
        Err(error) => {
            device.location() == Location::Host
                && matches!(
                    error,
                    Error::BlockOutOfPool { .. }
                        | Error::LengthBeyondTable { .. }
                        | Error::NegativeLength { .. }
                        | Error::OutOfRange { .. }
                )
        }
    }
}
