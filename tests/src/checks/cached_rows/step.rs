//! New tokens of a batch on a device, and what the cache must hold of them.

use anyhow::{Result, ensure};
use oxmla::cache::{AppendRows, RmsNorm, Scales};
use oxmla::{Buffer, DType, Device, ROPE_PAIRS, TensorRef};

use crate::element::{narrow, widen};
use crate::guarded::{Guarded, Snapshot};
use crate::layout::{BLOCK, D_K, D_V, Layout};
use crate::random::SplitMix64;

const EPS: f32 = 1e-6;
const POSITIONS: usize = 512;
/// Elements of a row of `rows`: latent part, rope part, and eight that are nobody's.
const ROW: usize = D_K + 8;
/// Blocks that no request has.
const SPARE_BLOCKS: usize = 3;

/// What is appended.
#[derive(Clone, Debug)]
pub struct Shape {
    pub dtype: DType,
    /// New rows and then tokens of each request.
    pub requests: Vec<(usize, i32)>,
    /// Whether requests are told apart by offsets; else all have as many rows.
    pub ragged: bool,
    pub normalise: bool,
    pub rotate: bool,
    /// Whether the cache has gaps between rows and between blocks.
    pub gaps: bool,
    /// Tokens of a block.
    pub block_size: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            dtype: DType::Bf16,
            requests: Vec::new(),
            ragged: true,
            normalise: true,
            rotate: true,
            gaps: false,
            block_size: BLOCK,
        }
    }
}

/// The tensors of an append: on the host, and on the device.
pub struct Step {
    pub shape: Shape,
    pub columns: usize,
    pub table: Vec<i32>,
    rows: Vec<f32>,
    weight: Vec<f32>,
    rotations: Vec<f32>,
    pub device_table: Buffer,
    pub device_lengths: Buffer,
    device_offsets: Buffer,
    device_rows: Buffer,
    device_weight: Buffer,
    device_rotations: Buffer,
    pub cache: Guarded<u16, 4>,
}

impl Step {
    pub fn new(device: &Device, shape: Shape, seed: u64) -> Result<Self> {
        let mut random = SplitMix64::new(seed);
        let count: usize = shape.requests.iter().map(|(new, _)| new).sum();
        let mut elements = |count: usize, mean: f64| {
            let bits: Vec<u16> =
                (0..count).map(|_| narrow(shape.dtype, (mean + random.normal()) as f32)).collect();
            let mut values = vec![0.0; count];
            widen(shape.dtype, &bits, &mut values);
            (bits, values)
        };
        let (row_bits, rows) = elements(count * ROW, 0.0);
        let (weight_bits, weight) = elements(D_V, 1.0);
        // Not of length 1, so that a pair turned twice shows.
        let rotations: Vec<f32> =
            (0..POSITIONS * ROPE_PAIRS * 2).map(|_| random.normal() as f32).collect();

        let size = shape.block_size;
        let held: Vec<_> =
            shape.requests.iter().map(|&(_, length)| (length as usize).div_ceil(size)).collect();
        let columns = held.iter().copied().max().unwrap_or(0).max(1);
        let blocks = held.iter().sum::<usize>() + SPARE_BLOCKS;
        let mut ids: Vec<i32> = (0..blocks as i32).collect();
        random.shuffle(&mut ids);
        let mut table = vec![i32::MAX; shape.requests.len() * columns];
        for (row, held) in table.chunks_mut(columns).zip(held) {
            row[..held].copy_from_slice(&ids.split_off(ids.len() - held));
        }
        let lengths: Vec<i32> = shape.requests.iter().map(|&(_, length)| length).collect();
        let mut offsets = vec![0i32];
        for (new, _) in &shape.requests {
            offsets.push(offsets[offsets.len() - 1] + *new as i32);
        }
        let cache = [blocks, size, 1, D_K];
        let strides = [size * ROW + 16, ROW, ROW, 1];
        let layout =
            if shape.gaps { Layout { shape: cache, strides } } else { Layout::packed(cache) };
        Ok(Self {
            columns,
            rows,
            weight,
            device_table: device.upload(&table)?,
            device_lengths: device.upload(&lengths)?,
            device_offsets: device.upload(&offsets)?,
            device_rows: upload_bits(device, &row_bits)?,
            device_weight: upload_bits(device, &weight_bits)?,
            device_rotations: device.upload(&rotations)?,
            cache: Guarded::new(device, shape.dtype, layout)?,
            rotations,
            table,
            shape,
        })
    }

    /// What `append` takes.
    pub fn args(&mut self) -> oxmla::Result<AppendRows<'_>> {
        let Self { shape, columns, cache, .. } = self;
        let (batch, dtype) = (shape.requests.len(), shape.dtype);
        let count = self.device_rows.len_bytes() / 2 / ROW;
        let part = |first: usize, width: usize| {
            let address = self.device_rows.address() + 2 * first as u64;
            let location = self.device_rows.location();
            // SAFETY: columns of the rows that the buffer was made for; borrowed with the step.
            unsafe { TensorRef::from_raw(address, dtype, &[count, width], &[ROW, 1], location) }
        };
        let weight = self.device_weight.view(dtype, &[D_V])?;
        let rotations = self.device_rotations.view(DType::F32, &[POSITIONS, ROPE_PAIRS, 2])?;
        let offsets = self.device_offsets.view(DType::I32, &[batch + 1])?;
        Ok(AppendRows {
            latent: part(0, D_V)?,
            rope: part(D_V, D_K - D_V)?,
            norm: shape.normalise.then_some(RmsNorm { weight, eps: EPS }),
            rotations: shape.rotate.then_some(rotations),
            lengths: self.device_lengths.view(DType::I32, &[batch])?,
            block_table: self.device_table.view(DType::I32, &[batch, *columns])?,
            offsets: shape.ragged.then_some(offsets),
            scales: Scales::Exact,
            kv_cache: cache.view_mut()?,
        })
    }

    /// Overwrites the offsets on the device.
    pub fn write_offsets(&mut self, offsets: &[i32]) -> oxmla::Result<()> {
        self.device_offsets.write_slice(offsets)
    }

    /// Compares the cache: new rows with f64, everything else with what it was.
    pub fn verify(&self) -> Result<()> {
        let cache = self.cache.snapshot()?;
        let (blocks, size) = (self.cache.shape()[0], self.shape.block_size);
        let mut written = vec![false; blocks * size];
        let mut row = 0;
        for (request, &(new, length)) in self.shape.requests.iter().enumerate() {
            for place in 0..new {
                let position = length as i64 - (new - place) as i64;
                if let Ok(position) = usize::try_from(position) {
                    let id = self.table[request * self.columns + position / size] as usize;
                    written[id * size + position % size] = true;
                    self.compare(cache.row([id, position % size, 0, 0]), row, position)?;
                }
                row += 1;
            }
        }
        for slot in (0..written.len()).filter(|&slot| !written[slot]) {
            ensure!(
                is_untouched(&cache, [slot / size, slot % size]),
                "{:?}: slot {slot} was written",
                self.shape
            );
        }
        Ok(())
    }

    fn compare(&self, bits: &[u16], row: usize, position: usize) -> Result<()> {
        let Shape { dtype, normalise, rotate, .. } = self.shape;
        let mut cached = [0.0; D_K];
        widen(dtype, bits, &mut cached);
        let values: Vec<f64> = self.rows[row * ROW..][..D_K].iter().map(|&x| x.into()).collect();
        let mean = values[..D_V].iter().map(|x| x * x).sum::<f64>() / D_V as f64;
        let root = (mean + f64::from(EPS)).sqrt();
        let turns = &self.rotations[position * 2 * ROPE_PAIRS..][..2 * ROPE_PAIRS];
        let unit = if dtype == DType::F16 { 1.0 / 2048.0 } else { 1.0 / 256.0 };
        for (d, &got) in cached.iter().enumerate() {
            let [even, odd] = [d & !1, d | 1].map(|d| values[d]);
            let turn = |part: usize| f64::from(turns[(d - D_V) / 2 * 2 + part]);
            let expected = match d {
                0..D_V if normalise => values[d] / root * f64::from(self.weight[d]),
                D_V.. if rotate && d % 2 == 0 => even * turn(0) - odd * turn(1),
                D_V.. if rotate => even * turn(1) + odd * turn(0),
                _ => values[d],
            };
            let off = (f64::from(got) - expected).abs();
            // Half a unit in the last place, and what f32 and the reciprocal root are off.
            ensure!(
                off <= 1.001 * unit * expected.abs() + 1e-6,
                "{:?}: element {d} of row {row} is {got}, not {expected}",
                self.shape
            );
        }
        Ok(())
    }
}

/// Whether a slot of the cache is as [`Guarded::new`] left it.
fn is_untouched(cache: &Snapshot<u16, 4>, [block, token]: [usize; 2]) -> bool {
    cache.row([block, token, 0, 0]).iter().all(|&bits| bits == 0xffff)
}

/// 16-bit elements on a device.
pub fn upload_bits(device: &Device, bits: &[u16]) -> oxmla::Result<Buffer> {
    let mut buffer = device.alloc(size_of_val(bits))?;
    buffer.write(0, bytemuck::cast_slice(bits))?;
    Ok(buffer)
}
