//! New tokens, quantised.

use anyhow::{Result, ensure};
use oxmla::cache::{GatherRows, Scales, append, gather};
use oxmla::{DType, Device, Error, Location};

use super::FORMATS;
use super::step::{EPS, ROPE, Shape, Step};
use crate::element::widen;
use crate::guarded::Snapshot;
use crate::layout::BLOCK;
use crate::session::Session;

fn shapes() -> Vec<Shape> {
    let requests = vec![(70, 140), (0, 77), (3, 65), (64, 64), (0, 0), (2, 130), (1, 1)];
    let mut shapes = Vec::new();
    for format in FORMATS {
        for rows in [DType::Bf16, DType::F16] {
            for scales in [Scales::Exact, Scales::PowerOfTwo] {
                for prepare in [false, true] {
                    let (requests, block_size) = (requests.clone(), BLOCK);
                    shapes.push(Shape { format, rows, scales, block_size, prepare, requests });
                }
            }
        }
        for block_size in [16, 32, 128] {
            let (rows, scales, prepare) = (DType::Bf16, Scales::Exact, block_size == 32);
            let requests = requests.clone();
            shapes.push(Shape { format, rows, scales, block_size, prepare, requests });
        }
    }
    shapes
}

/// Rows as they are become the bytes that the CPU makes of them; rows that are normalised and rotated come within
/// rounding of f64. Nothing else is written: unused slots stay full of NaN.
pub fn new_rows(session: &mut Session) -> Result<()> {
    for (seed, shape) in shapes().into_iter().enumerate() {
        let mut step = Step::new(session.device(), shape.clone(), seed as u64)?;
        let mut expected = Step::new(&Device::cpu(), shape, seed as u64)?;
        if !step.shape.prepare {
            step.spoil(5)?;
            expected.spoil(5)?;
        }
        append(session.device(), session.stream().as_ref(), step.args()?)?;
        session.stream().synchronize()?;
        let cpu = Device::cpu();
        append(&cpu, cpu.stream()?.as_ref(), expected.args()?)?;
        let (found, reference) = (step.cache.snapshot()?, expected.cache.snapshot()?);
        if step.shape.prepare {
            verify(session, &mut step, &found)?;
        } else {
            compare(&step, &found, &reference)?;
        }
    }
    Ok(())
}

/// Compares whole caches, byte by byte.
fn compare(step: &Step, found: &Snapshot<u8, 4>, expected: &Snapshot<u8, 4>) -> Result<()> {
    if found.same_bits(expected) {
        return Ok(());
    }
    let [blocks, block_size, _, width] = *step.cache.shape();
    for (block, offset) in (0..blocks).flat_map(|b| (0..block_size).map(move |o| (b, o))) {
        let [found, expected] = [found, expected].map(|cache| cache.row([block, offset, 0, 0]));
        for byte in 0..width {
            let [found, expected] = [found[byte], expected[byte]];
            let place = offset * width + byte;
            ensure!(
                found == expected,
                "{:?}: byte {place} of block {block} is {found:#x}, not {expected:#x}",
                step.shape
            );
        }
    }
    Ok(())
}

/// Compares what is gathered with f64, and unused slots with what they were.
fn verify(session: &Session, step: &mut Step, cache: &Snapshot<u8, 4>) -> Result<()> {
    let gathered = gathered(session, step)?;
    let block_size = step.shape.block_size;
    let mut written = vec![false; step.cache.shape()[0] * block_size];
    for (row, request, position) in step.places() {
        let [id, offset] = step.slot(request, position);
        written[id * block_size + offset] = true;
        let start: usize = step.shape.requests[..request].iter().map(|(_, n)| *n as usize).sum();
        let width = step.shape.format.layout().latent as usize + ROPE;
        compare_row(step, row, position, &gathered[(start + position) * width..][..width])?;
    }
    let elements = step.shape.format.layout().token_stride as usize;
    let width = step.shape.format.bytes_per_token() as usize;
    for slot in (0..written.len()).filter(|&slot| !written[slot]) {
        let (block, start) = (slot / block_size, slot % block_size * elements);
        let byte = |place: usize| cache.at([block, place / width, 0, place % width]);
        let untouched = (start..start + elements).all(|place| byte(place) == 0xff);
        ensure!(untouched, "{:?}: slot {slot} was written", step.shape);
    }
    Ok(())
}

/// All tokens of all requests as bf16 rows.
fn gathered(session: &Session, step: &mut Step) -> Result<Vec<f32>> {
    let device = session.device();
    let mut offsets = vec![0i32];
    for &(_, length) in &step.shape.requests {
        offsets.push(offsets[offsets.len() - 1] + length);
    }
    let batch = step.shape.requests.len();
    let tokens = offsets[batch] as usize;
    let width = step.shape.format.layout().latent as usize + ROPE;
    let offsets = device.upload(&offsets)?;
    let mut out = device.alloc(tokens * width * 2)?;
    let columns = step.columns;
    let cache = step.cache.view_mut()?;
    let args = GatherRows {
        block_table: step.device_table.view(DType::I32, &[batch, columns])?,
        kv_cache: cache.as_ref(),
        offsets: offsets.view(DType::I32, &[batch + 1])?,
        out: out.view_mut(DType::Bf16, &[tokens, width])?,
    };
    gather(device, session.stream().as_ref(), args)?;
    session.stream().synchronize()?;
    let mut bits = vec![0u16; tokens * width];
    out.read(0, bytemuck::cast_slice_mut(&mut bits))?;
    let mut values = vec![0.0; bits.len()];
    widen(DType::Bf16, &bits, &mut values);
    Ok(values)
}

fn compare_row(step: &Step, row: usize, position: usize, found: &[f32]) -> Result<()> {
    let layout = step.shape.format.layout();
    let (width, tile) = (layout.latent as usize, layout.tile as usize);
    let x: Vec<f64> = step.latent[row * width..][..width].iter().map(|&x| x.into()).collect();
    let rope: Vec<f64> = step.rope[row * ROPE..][..ROPE].iter().map(|&x| x.into()).collect();
    let mean = x.iter().map(|x| x * x).sum::<f64>() / width as f64;
    let root = (mean + f64::from(EPS)).sqrt();
    let normal: Vec<f64> =
        x.iter().zip(&step.weight).map(|(x, weight)| x / root * f64::from(*weight)).collect();
    for (d, &got) in found.iter().enumerate() {
        let (expected, step_of_least) = if d < width {
            let of_tile = &normal[d / tile * tile..][..tile];
            let amax = of_tile.iter().fold(0.0, |amax: f64, x| amax.max(x.abs()));
            // Half of 2^−9 of a scale, which a power of two may double.
            (normal[d], amax / 448.0 / 512.0)
        } else {
            let turns = &step.rotations[position * ROPE..][..ROPE];
            let [even, odd] = [(d - width) & !1, (d - width) | 1];
            let [cos, sin] = [even, odd].map(|part| f64::from(turns[part]));
            let turned = [rope[even] * cos - rope[odd] * sin, rope[even] * sin + rope[odd] * cos];
            (turned[(d - width) % 2], 1e-6)
        };
        // Half a unit of e4m3's 4 bits, and of bf16's 8, for the row that is compared.
        let unit = if d < width { 1.0 / 16.0 + 1.0 / 256.0 } else { 1.0 / 256.0 };
        let off = (f64::from(got) - expected).abs();
        ensure!(
            off <= 1.001 * (unit * expected.abs() + step_of_least),
            "{:?}: element {d} of row {row} is {got}, not {expected}",
            step.shape
        );
    }
    Ok(())
}

/// Ids and lengths that make no sense: refused where the host can read them, else the rows are left out.
pub fn rows_without_a_place(session: &mut Session) -> Result<()> {
    type Spoil = fn(&mut Step) -> oxmla::Result<()>;
    let device = session.device().clone();
    let spoilt: [(&str, Spoil); 3] = [
        ("id of no block", |step| step.device_table.write_slice(&[i32::MAX, 1 << 20])),
        ("length beyond the table", |step| step.device_lengths.write_slice(&[131])),
        ("negative length", |step| step.device_lengths.write_slice(&[i32::MIN])),
    ];
    for format in FORMATS {
        for (name, spoil) in spoilt {
            let (rows, scales) = (DType::Bf16, Scales::Exact);
            let requests = vec![(2, 66)];
            let mut step = Step::new(
                &device,
                Shape { format, rows, scales, block_size: BLOCK, prepare: true, requests },
                50,
            )?;
            spoil(&mut step)?;
            let result = append(&device, session.stream().as_ref(), step.args()?);
            session.stream().synchronize()?;
            let named = matches!(
                result,
                Err(Error::BlockOutOfPool { .. }
                    | Error::LengthBeyondTable { .. }
                    | Error::NegativeLength { .. })
            );
            let on_host = device.location() == Location::Host;
            ensure!(if on_host { named } else { result.is_ok() }, "{name}: {result:?}");
            ensure!(step.cache.is_untouched()?, "{name}: something was written");
        }
    }
    Ok(())
}
