//! A matrix product in host memory, what the kernel makes of it in the SIMT machine, and what is right.

use half::{bf16, f16};
use oxmla_kernels::gemm::abi::Shape;
use oxmla_kernels::gemm::tiling::Tiling;
use oxmla_kernels::simulate::{ElementType, Error, Gemm, Launch, Strides, TurnedRows};
use oxmla_simt::Trace;

/// Elements behind every row: what a kernel reads too much is NaN, what it writes too much shows.
const GAP: usize = 8;
/// Bits that no product has: a NaN that arithmetic does not make.
const CANARY: u16 = 0xffff;
/// Elements of the rope part.
const ROPE: usize = 64;

/// Memory for 16-bit floats, aligned as TMA wants it.
struct Memory(Vec<u128>);

impl Memory {
    fn new(bits: &[u16]) -> Self {
        let mut memory = Self(vec![0; bits.len().div_ceil(8)]);
        memory.bits_mut()[..bits.len()].copy_from_slice(bits);
        memory
    }

    fn bits(&self) -> &[u16] {
        bytemuck::cast_slice(&self.0)
    }

    fn bits_mut(&mut self) -> &mut [u16] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// Rotation of the 64 elements behind each row.
pub struct Turning {
    pub lengths: Vec<i32>,
    pub tokens_per_request: usize,
    /// `[positions, 32, 2]`.
    rotations: Vec<f32>,
}

/// Inputs. Everything between rows is NaN.
pub struct Problem {
    pub element: ElementType,
    pub shape: Shape,
    pub tiling: Tiling,
    x: Memory,
    weight: Memory,
    pub turning: Option<Turning>,
}

impl Problem {
    /// A product of `[batch, m, n, k]` in tiles of a width and `splits` shares, on `ctas` multiprocessors.
    pub fn new(sizes: [u32; 4], width: [u32; 2], [splits, ctas]: [u32; 2], seed: u64) -> Self {
        let [batch, m, n, k] = sizes;
        let shape = Shape { batch, m, n, k };
        let mut problem = Self {
            element: ElementType::Bf16,
            shape,
            tiling: Tiling::new(&shape, width, splits, ctas),
            x: Memory::new(&[]),
            weight: Memory::new(&[]),
            turning: None,
        };
        problem.fill(seed);
        problem
    }

    /// The same with elements of another type.
    pub fn with_element(mut self, element: ElementType, seed: u64) -> Self {
        self.element = element;
        self.fill(seed);
        self
    }

    /// The same with a rope part behind every row, of requests with so many tokens; `positions` have a rotation.
    pub fn turned(mut self, lengths: Vec<i32>, positions: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let rotations = (0..positions * ROPE).map(|_| random.f32() * 2.0 - 1.0).collect();
        let tokens_per_request = self.shape.m as usize / lengths.len();
        self.turning = Some(Turning { lengths, tokens_per_request, rotations });
        self.fill(seed);
        self
    }

    fn fill(&mut self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rows = |count: usize, width: usize, stride: usize| {
            let mut bits = Vec::with_capacity(count * stride);
            for _ in 0..count {
                for column in 0..stride {
                    let value = (0..4).map(|_| random.f32() - 0.5).sum::<f32>();
                    bits.push(if column < width { self.round(value) } else { CANARY });
                }
            }
            bits
        };
        let Shape { batch, m, n, k } = self.shape;
        let rope = if self.turning.is_some() { ROPE } else { 0 };
        // Heads of a token side by side, as queries have them; the weight of a head in one piece.
        let x = rows((batch * m) as usize, k as usize + rope, self.x_row());
        let weight = rows((batch * n) as usize, k as usize, self.weight_row());
        (self.x, self.weight) = (Memory::new(&x), Memory::new(&weight));
    }

    fn rope(&self) -> usize {
        if self.turning.is_some() { ROPE } else { 0 }
    }

    fn x_row(&self) -> usize {
        (self.shape.k as usize + self.rope()).next_multiple_of(8) + GAP
    }

    fn weight_row(&self) -> usize {
        (self.shape.k as usize).next_multiple_of(8) + GAP
    }

    fn y_row(&self) -> usize {
        self.shape.n as usize + self.rope() + GAP
    }

    fn round(&self, value: f32) -> u16 {
        match self.element {
            ElementType::Bf16 => bf16::from_f32(value).to_bits(),
            ElementType::F16 => f16::from_f32(value).to_bits(),
        }
    }

    fn value(&self, bits: u16) -> f64 {
        match self.element {
            ElementType::Bf16 => bf16::from_bits(bits).to_f64(),
            ElementType::F16 => f16::from_bits(bits).to_f64(),
        }
    }

    /// What lies in the output afterwards.
    pub fn run(&self, configure: impl Fn(Launch) -> Launch) -> Result<(Vec<u16>, Trace), Error> {
        let Shape { batch, m, n, .. } = self.shape;
        let heads = |row: usize| Strides { batch: row, row: batch as usize * row };
        let weight_row = self.weight_row();
        let mut y = Memory::new(&vec![CANARY; (batch * m) as usize * self.y_row()]);
        let gemm = Gemm {
            element: self.element,
            shape: self.shape,
            tiling: self.tiling,
            x: (self.x.bits(), heads(self.x_row())),
            weight: (
                self.weight.bits(),
                Strides { batch: n as usize * weight_row, row: weight_row },
            ),
            y: (y.bits_mut(), heads(self.y_row())),
            turns: self.turning.as_ref().map(|turning| TurnedRows {
                rotations: &turning.rotations,
                lengths: &turning.lengths,
                tokens_per_request: turning.tokens_per_request as u32,
            }),
        };
        let trace = gemm.run(configure)?;
        Ok((y.bits().to_vec(), trace))
    }

    /// Compares an output with f64.
    pub fn verify(&self, y: &[u16]) -> Result<(), String> {
        let Shape { batch, m, n, k } = self.shape;
        for (token, head) in (0..m).flat_map(|token| (0..batch).map(move |head| (token, head))) {
            let row = (token * batch + head) as usize;
            let x = &self.x.bits()[row * self.x_row()..];
            let got = &y[row * self.y_row()..][..self.y_row()];
            for (column, &bits) in got.iter().enumerate() {
                let name = || format!("token {token}, head {head}, column {column}");
                let expected = if column < n as usize {
                    let weight = (head * n) as usize + column;
                    let weight = &self.weight.bits()[weight * self.weight_row()..];
                    let products =
                        (0..k as usize).map(|i| self.value(x[i]) * self.value(weight[i]));
                    let (sum, magnitude) = products
                        .fold((0.0, 0.0), |(sum, all): (f64, f64), p| (sum + p, all + p.abs()));
                    Some((sum, magnitude))
                } else if column < n as usize + self.rope() {
                    Some(self.turned_element(&x[k as usize..], token as usize, column - n as usize))
                } else {
                    None
                };
                match expected {
                    None if bits != CANARY => {
                        return Err(format!("{}: a gap was written", name()));
                    }
                    None => {}
                    Some((value, magnitude)) => {
                        let tolerance = self.unit() * value.abs() + magnitude * 2f64.powi(-18);
                        let got = self.value(bits);
                        let off = (got - value).abs();
                        if off.is_nan() || off > tolerance + 1e-30 {
                            return Err(format!("{}: {got}, not {value}", name()));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Half a unit in the last place, relative to the number.
    fn unit(&self) -> f64 {
        match self.element {
            ElementType::Bf16 => 2f64.powi(-8),
            ElementType::F16 => 2f64.powi(-11),
        }
    }

    /// An element of the rotated part, and the magnitude of what it is the sum of.
    fn turned_element(&self, rope: &[u16], token: usize, index: usize) -> (f64, f64) {
        let turning = self.turning.as_ref().expect("there is a rope part");
        let (request, of_request) =
            (token / turning.tokens_per_request, token % turning.tokens_per_request);
        let position = i64::from(turning.lengths[request]) - turning.tokens_per_request as i64
            + of_request as i64;
        let positions = turning.rotations.len() / ROPE;
        if !(0..positions as i64).contains(&position) {
            return (0.0, 0.0);
        }
        let pair = position as usize * ROPE + index / 2 * 2;
        let [cos, sin] = [0, 1].map(|part| f64::from(turning.rotations[pair + part]));
        let [x, y] = [0, 1].map(|part| self.value(rope[index / 2 * 2 + part]));
        let (a, b) = if index.is_multiple_of(2) { (x * cos, -y * sin) } else { (x * sin, y * cos) };
        (a + b, a.abs() + b.abs())
    }
}
