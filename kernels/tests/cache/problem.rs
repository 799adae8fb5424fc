//! New tokens in host memory, what the append kernel makes of them in the SIMT machine, and what is right.

use half::{bf16, f16};
use oxmla_kernels::simulate::{AppendRows, CacheFormat, ElementType, Error};
use oxmla_simt::Launch;

pub const D_QK: usize = 576;
pub const BLOCK: usize = 64 * D_QK;
const D_LATENT: usize = 512;
const EPS: f32 = 1e-6;
const POSITIONS: usize = 256;
/// What the cache holds before: NaN, in both types.
const POISON: u16 = 0x7fff;
/// Blocks that no request has.
const SPARE_BLOCKS: usize = 2;

/// How the kernel finds a row's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// All requests have the same number.
    Even,
    /// By offsets.
    Ragged,
}

/// Shape of a step.
#[derive(Clone, Debug)]
pub struct Shape {
    pub element: ElementType,
    pub rows: Rows,
    /// New rows of each request.
    pub new: Vec<u32>,
    /// Tokens of each request, the new ones included.
    pub lengths: Vec<i32>,
    pub latent_stride: usize,
    pub rope_stride: usize,
    /// Tokens of a block.
    pub block_size: usize,
    pub normalise: bool,
    pub rotate: bool,
    /// Rows behind those of the last request.
    pub padding: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            element: ElementType::Bf16,
            rows: Rows::Ragged,
            new: Vec::new(),
            lengths: Vec::new(),
            latent_stride: D_LATENT,
            rope_stride: 64,
            block_size: 64,
            normalise: true,
            rotate: true,
            padding: 0,
        }
    }
}

/// 16-bit elements that begin at a multiple of 16 bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Aligned {
    words: Vec<u128>,
    len: usize,
}

impl Aligned {
    pub fn new(bits: &[u16]) -> Self {
        let mut aligned = Self { words: vec![0; bits.len().div_ceil(8)], len: bits.len() };
        aligned.as_mut_slice().copy_from_slice(bits);
        aligned
    }

    pub fn as_slice(&self) -> &[u16] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }

    pub fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self.as_slice())
    }

    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(self.as_mut_slice())
    }

    pub fn as_mut_slice(&mut self) -> &mut [u16] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }
}

/// Elements of any value but NaN.
pub fn random_bits(count: usize, seed: u64) -> Vec<u16> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| bf16::from_f32(random.f32() - 0.5).to_bits()).collect()
}

fn value(element: ElementType, bits: u16) -> f64 {
    match element {
        ElementType::Bf16 => bf16::from_bits(bits).to_f64(),
        ElementType::F16 => f16::from_bits(bits).to_f64(),
    }
}

/// Inputs of a launch.
pub struct Problem {
    pub shape: Shape,
    /// Rows of the launch.
    pub rows: u32,
    pub latent: Aligned,
    pub rope: Aligned,
    pub weight: Aligned,
    /// Cosines and sines; any numbers, so that a wrong one cannot pass.
    pub rotations: Vec<[f32; 2]>,
    pub offsets: Vec<i32>,
    pub table: Vec<i32>,
    pub blocks: usize,
}

impl Problem {
    pub fn new(shape: Shape, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut offsets = vec![0i32];
        offsets.extend(shape.new.iter().scan(0, |end, &new| {
            *end += new as i32;
            Some(*end)
        }));
        let launched = offsets[shape.new.len()] as u32 + shape.padding;
        let rows = launched as usize;
        let mut elements = |count: usize, offset: f32| {
            let mut bits = |_| {
                let number = 2.0 * random.f32() - 1.0 + offset;
                match shape.element {
                    ElementType::Bf16 => bf16::from_f32(number).to_bits(),
                    ElementType::F16 => f16::from_f32(number).to_bits(),
                }
            };
            Aligned::new(&(0..count).map(&mut bits).collect::<Vec<_>>())
        };
        let latent = elements(rows * shape.latent_stride, 0.0);
        let rope = elements(rows * shape.rope_stride, 0.0);
        let weight = elements(D_LATENT, 1.0);
        let rotations = (0..POSITIONS * 32).map(|_| [random.f32(), random.f32() - 0.5]).collect();

        let held: Vec<_> =
            shape.lengths.iter().map(|n| (*n as usize).div_ceil(shape.block_size)).collect();
        let columns = held.iter().copied().max().unwrap_or(0);
        let blocks = held.iter().sum::<usize>() + SPARE_BLOCKS;
        let mut ids: Vec<i32> = (0..blocks as i32).collect();
        random.shuffle(&mut ids);
        let mut table = vec![i32::MAX; held.len() * columns];
        for (row, &held) in table.chunks_mut(columns.max(1)).zip(&held) {
            row[..held].copy_from_slice(&ids.split_off(ids.len() - held));
        }
        Self { shape, rows: launched, latent, rope, weight, rotations, offsets, table, blocks }
    }

    /// What the kernel makes of a cache full of NaN.
    pub fn try_run(&self, configure: impl Fn(Launch) -> Launch) -> Result<Vec<u16>, Error> {
        let shape = &self.shape;
        let mut cache = Aligned::new(&vec![POISON; self.blocks * shape.block_size * D_QK]);
        let append = AppendRows {
            element: shape.element,
            format: CacheFormat::Elements,
            block_size: shape.block_size as u32,
            rows: self.rows,
            latent: self.latent.as_slice(),
            latent_stride: shape.latent_stride,
            rope: self.rope.as_slice(),
            rope_stride: shape.rope_stride,
            weight: shape.normalise.then(|| self.weight.as_slice()),
            eps: EPS,
            rotations: shape.rotate.then(|| self.rotations.as_flattened()),
            lengths: &shape.lengths,
            offsets: (shape.rows == Rows::Ragged).then_some(&self.offsets),
            block_table: &self.table,
            power_of_two_scales: false,
            kv_cache: cache.as_mut_bytes(),
        };
        append.run(configure)?;
        Ok(cache.as_slice().to_vec())
    }

    pub fn run(&self, configure: impl Fn(Launch) -> Launch) -> Vec<u16> {
        let shape = &self.shape;
        self.try_run(configure).unwrap_or_else(|report| panic!("{shape:?}: {report}"))
    }

    /// Runs and compares: new rows with f64, everything else bit by bit.
    pub fn check(&self) {
        let cache = self.run(|launch| launch);
        let mut written = vec![false; cache.len() / D_QK];
        let mut row = 0;
        for (request, (&new, &length)) in self.shape.new.iter().zip(&self.shape.lengths).enumerate()
        {
            for position in (length as usize - new as usize)..length as usize {
                let slot = self.slot(request, position);
                written[slot] = true;
                self.compare(&cache[slot * D_QK..][..D_QK], row, position);
                row += 1;
            }
        }
        for (slot, bits) in cache.chunks(D_QK).enumerate().filter(|(slot, _)| !written[*slot]) {
            assert!(bits.iter().all(|&bits| bits == POISON), "{:?}: slot {slot}", self.shape);
        }
    }

    fn slot(&self, request: usize, position: usize) -> usize {
        let columns = self.table.len() / self.shape.lengths.len();
        let size = self.shape.block_size;
        self.table[request * columns + position / size] as usize * size + position % size
    }

    /// Compares a cached row with what row `row` of the input becomes at `position`.
    fn compare(&self, cached: &[u16], row: usize, position: usize) {
        let shape = &self.shape;
        let latent = &self.latent.as_slice()[row * shape.latent_stride..][..D_LATENT];
        let rope = &self.rope.as_slice()[row * shape.rope_stride..][..64];
        let of = |bits: &u16| value(shape.element, *bits);
        let square: f64 = latent.iter().map(|bits| of(bits).powi(2)).sum();
        let scale = (square / D_LATENT as f64 + f64::from(EPS)).sqrt().recip();
        let normalised = latent
            .iter()
            .zip(self.weight.as_slice())
            .map(|(x, weight)| if shape.normalise { of(x) * scale * of(weight) } else { of(x) });
        let turns = &self.rotations[position * 32..][..32];
        let rotated = rope.chunks(2).zip(turns).flat_map(|(pair, turn)| {
            let [x, y] = [of(&pair[0]), of(&pair[1])];
            let [cos, sin] = turn.map(f64::from);
            if shape.rotate { [x * cos - y * sin, x * sin + y * cos] } else { [x, y] }
        });
        // Half a unit in the last place, and what f32 and the reciprocal root are off.
        let unit = match shape.element {
            ElementType::Bf16 => 1.0 / 256.0,
            ElementType::F16 => 1.0 / 2048.0,
        };
        for (index, (bits, expected)) in cached.iter().zip(normalised.chain(rotated)).enumerate() {
            let got = of(bits);
            let near = (got - expected).abs() <= unit * (1.0 + 1e-3) * expected.abs() + 1e-7;
            assert!(near, "{shape:?}: row {row}, element {index} is {got}, not {expected}");
        }
    }
}
