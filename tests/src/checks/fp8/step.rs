//! New tokens of a batch on a device, and the FP8 cache that they go to.

use anyhow::Result;
use oxmla::cache::{AppendRows, Fp8Format, RmsNorm, Scales};
use oxmla::{Buffer, DType, Device, ROPE_PAIRS};

use super::with_gaps;
use crate::checks::cached_rows::upload_bits;
use crate::element::{narrow, widen};
use crate::guarded::Guarded;
use crate::random::SplitMix64;

pub const EPS: f32 = 1e-6;
pub const ROPE: usize = 64;
const POSITIONS: usize = 256;

/// What is appended.
#[derive(Clone, Debug)]
pub struct Shape {
    pub format: Fp8Format,
    pub rows: DType,
    pub scales: Scales,
    /// Tokens of a block.
    pub block_size: usize,
    /// Whether latent parts are normalised and rope parts rotated.
    pub prepare: bool,
    /// New rows and then tokens of each request.
    pub requests: Vec<(usize, i32)>,
}

/// The tensors of an append. The cache is full of NaN and has gaps between blocks.
pub struct Step {
    pub shape: Shape,
    pub columns: usize,
    /// Values of the rows: latent part, rope part.
    pub latent: Vec<f32>,
    pub rope: Vec<f32>,
    pub weight: Vec<f32>,
    pub rotations: Vec<f32>,
    pub table: Vec<i32>,
    pub cache: Guarded<u8, 4>,
    pub device_table: Buffer,
    pub device_lengths: Buffer,
    device_offsets: Buffer,
    device_latent: Buffer,
    device_rope: Buffer,
    device_weight: Buffer,
    device_rotations: Buffer,
}

impl Step {
    pub fn new(device: &Device, shape: Shape, seed: u64) -> Result<Self> {
        let mut random = SplitMix64::new(seed);
        let width = shape.format.layout().latent as usize;
        let count: usize = shape.requests.iter().map(|(new, _)| new).sum();
        let (latent_bits, latent) = elements(shape.rows, &latents(&mut random, count, width));
        let normal: Vec<f32> = (0..count * ROPE).map(|_| random.normal() as f32).collect();
        let (rope_bits, rope) = elements(shape.rows, &normal);
        let normal: Vec<f32> = (0..width).map(|_| 1.0 + random.normal() as f32).collect();
        let (weight_bits, weight) = elements(shape.rows, &normal);
        let rotations: Vec<f32> =
            (0..POSITIONS * ROPE_PAIRS * 2).map(|_| random.normal() as f32).collect();

        let held =
            shape.requests.iter().map(|&(_, length)| (length as usize).div_ceil(shape.block_size));
        let columns = held.clone().max().unwrap_or(0).max(1);
        let blocks = held.clone().sum::<usize>() + 2;
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
        Ok(Self {
            cache: Guarded::new(
                device,
                DType::U8,
                with_gaps(shape.format, blocks, shape.block_size),
            )?,
            device_table: device.upload(&table)?,
            device_lengths: device.upload(&lengths)?,
            device_offsets: device.upload(&offsets)?,
            device_latent: upload_bits(device, &latent_bits)?,
            device_rope: upload_bits(device, &rope_bits)?,
            device_weight: upload_bits(device, &weight_bits)?,
            device_rotations: device.upload(&rotations)?,
            shape,
            columns,
            latent,
            rope,
            weight,
            rotations,
            table,
        })
    }

    /// What `append` takes.
    pub fn args(&mut self) -> oxmla::Result<AppendRows<'_>> {
        let (batch, rows) = (self.shape.requests.len(), self.shape.rows);
        let width = self.shape.format.layout().latent as usize;
        let count = self.rope.len() / ROPE;
        let norm = RmsNorm { weight: self.device_weight.view(rows, &[width])?, eps: EPS };
        let rotations = self.device_rotations.view(DType::F32, &[POSITIONS, ROPE_PAIRS, 2])?;
        Ok(AppendRows {
            latent: self.device_latent.view(rows, &[count, width])?,
            rope: self.device_rope.view(rows, &[count, ROPE])?,
            norm: self.shape.prepare.then_some(norm),
            rotations: self.shape.prepare.then_some(rotations),
            lengths: self.device_lengths.view(DType::I32, &[batch])?,
            block_table: self.device_table.view(DType::I32, &[batch, self.columns])?,
            offsets: Some(self.device_offsets.view(DType::I32, &[batch + 1])?),
            scales: self.shape.scales,
            kv_cache: self.cache.view_mut()?,
        })
    }

    /// Index, request and position of every new row.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let requests = self.shape.requests.iter().enumerate();
        let places = requests.flat_map(|(request, &(new, length))| {
            (length as usize - new..length as usize).map(move |position| (request, position))
        });
        places.enumerate().map(|(row, (request, position))| (row, request, position))
    }

    /// Block and offset of a token.
    pub fn slot(&self, request: usize, position: usize) -> [usize; 2] {
        let size = self.shape.block_size;
        [self.table[request * self.columns + position / size] as usize, position % size]
    }
}

/// Latent parts of all magnitudes, and among them zeros, tiles of zeros, infinities and NaN.
fn latents(random: &mut SplitMix64, rows: usize, width: usize) -> Vec<f32> {
    let mut latent = Vec::with_capacity(rows * width);
    for row in 0..rows {
        let magnitude = 2f32.powi(row as i32 % 16 - 8);
        latent.extend((0..width).map(|_| magnitude * random.normal() as f32));
        let row_of = &mut latent[row * width..];
        match row % 5 {
            1 => row_of[..128].fill(0.0),
            2 => row_of[64..192].fill(-0.0),
            3 => row_of[7] = 200.0 * magnitude,
            _ => {}
        }
    }
    latent
}

/// The nearest elements, and their values.
fn elements(dtype: DType, values: &[f32]) -> (Vec<u16>, Vec<f32>) {
    let bits: Vec<u16> = values.iter().map(|&value| narrow(dtype, value)).collect();
    let mut rounded = vec![0.0; bits.len()];
    widen(dtype, &bits, &mut rounded);
    (bits, rounded)
}

impl Step {
    /// Writes elements that are no numbers to the latent part of row `row`.
    pub fn spoil(&mut self, row: usize) -> oxmla::Result<()> {
        let width = self.shape.format.layout().latent as usize;
        let odd = [f32::INFINITY, f32::NAN, f32::NEG_INFINITY].map(|x| narrow(self.shape.rows, x));
        self.device_latent.write(2 * (row * width + 130), bytemuck::cast_slice(&odd))
    }
}
