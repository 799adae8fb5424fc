//! Rows in host memory, what the kernel makes of them in the SIMT machine, and what is right.

use half::{bf16, f16};
use oxmla_kernels::simulate::{ElementType, Error, Launch, NormRows};
use oxmla_simt::Trace;

/// Elements between the rows of the input, and of the output: NaN, which nobody may read, and which must stay.
const GAPS: [usize; 2] = [8, 16];
const CANARY: u16 = 0xffff;

/// Inputs.
#[derive(Clone)]
pub struct Problem {
    pub element: ElementType,
    pub rows: u32,
    pub width: u32,
    pub eps: f32,
    pub weight: Vec<u16>,
    pub x: Vec<u16>,
    pub x_stride: usize,
    pub y_stride: usize,
}

impl Problem {
    /// Rows of different sizes, elements around 0.
    pub fn new(element: ElementType, [rows, width]: [u32; 2], seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut number = || (0..4).map(|_| random.f32() - 0.5).sum::<f32>();
        let [x_stride, y_stride] = GAPS.map(|gap| width as usize + gap);
        let mut x = vec![CANARY; rows as usize * x_stride];
        for (row, elements) in x.chunks_exact_mut(x_stride).enumerate() {
            for x in &mut elements[..width as usize] {
                *x = round(element, number() * (1 + row % 7) as f32);
            }
        }
        let weight = (0..width).map(|_| round(element, 1.0 + number())).collect();
        Self { element, rows, width, eps: 1e-6, weight, x, x_stride, y_stride }
    }

    /// The same rows, times a number.
    pub fn scaled(mut self, by: f32) -> Self {
        let (element, width) = (self.element, self.width as usize);
        for row in self.x.chunks_exact_mut(self.x_stride) {
            for x in &mut row[..width] {
                *x = round(element, value(element, *x) as f32 * by);
            }
        }
        self
    }

    /// What lies in the output afterwards.
    pub fn run(&self, configure: impl Fn(Launch) -> Launch) -> Result<(Vec<u16>, Trace), Error> {
        let [x, weight] = [&self.x, &self.weight].map(|elements| aligned(elements));
        let mut y = aligned(&vec![CANARY; self.x.len() / self.x_stride * self.y_stride]);
        let len = self.x.len() / self.x_stride * self.y_stride;
        let launch = NormRows {
            element: self.element,
            rows: self.rows,
            width: self.width,
            x: &bytemuck::cast_slice(&x)[..self.x.len()],
            x_stride: self.x_stride,
            weight: &bytemuck::cast_slice(&weight)[..self.weight.len()],
            eps: self.eps,
            y: &mut bytemuck::cast_slice_mut(&mut y)[..len],
            y_stride: self.y_stride,
        };
        let trace = launch.run(configure)?;
        Ok((bytemuck::cast_slice(&y)[..len].to_vec(), trace))
    }

    /// Runs it; the output must be right.
    pub fn check(&self) {
        let (y, _) = self.run(|launch| launch).unwrap_or_else(|error| panic!("{error}"));
        self.verify(&y).unwrap_or_else(|error| panic!("{} × {}: {error}", self.rows, self.width));
    }

    /// Compares an output with f64.
    pub fn verify(&self, y: &[u16]) -> Result<(), String> {
        let width = self.width as usize;
        for (row, got) in y.chunks_exact(self.y_stride).enumerate() {
            let x: Vec<f64> = self.x[row * self.x_stride..][..width]
                .iter()
                .map(|&x| value(self.element, x))
                .collect();
            let mean = x.iter().map(|x| x * x).sum::<f64>() / width as f64;
            let scale = (mean + f64::from(self.eps)).sqrt().recip();
            for (column, &bits) in got.iter().enumerate() {
                let Some(x) = x.get(column) else {
                    if bits != CANARY {
                        return Err(format!("row {row}: column {column} of a gap was written"));
                    }
                    continue;
                };
                let expected = x * scale * value(self.element, self.weight[column]);
                let off = (value(self.element, bits) - expected).abs();
                // Half a unit in the last place, and what sums and roots in f32 lose.
                let (unit, least) = unit(self.element);
                if off.is_nan() || off > expected.abs() * (unit + 2f64.powi(-19)) + least {
                    return Err(format!("row {row}, column {column}: off by {off} of {expected}"));
                }
            }
        }
        Ok(())
    }
}

fn aligned(elements: &[u16]) -> Vec<u128> {
    let mut memory = vec![0u128; elements.len().div_ceil(8)];
    bytemuck::cast_slice_mut(&mut memory)[..elements.len()].copy_from_slice(elements);
    memory
}

fn round(element: ElementType, value: f32) -> u16 {
    match element {
        ElementType::Bf16 => bf16::from_f32(value).to_bits(),
        ElementType::F16 => f16::from_f32(value).to_bits(),
    }
}

fn value(element: ElementType, bits: u16) -> f64 {
    match element {
        ElementType::Bf16 => bf16::from_bits(bits).to_f64(),
        ElementType::F16 => f16::from_bits(bits).to_f64(),
    }
}

/// Half a unit in the last place, relative to the number; and of the smallest numbers, absolute.
fn unit(element: ElementType) -> (f64, f64) {
    match element {
        ElementType::Bf16 => (2f64.powi(-8), 2f64.powi(-134)),
        ElementType::F16 => (2f64.powi(-11), 2f64.powi(-25)),
    }
}
