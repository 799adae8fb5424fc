//! What is recorded on a GPU and repeated in the machine: the list and its inputs, the same on both sides.

use oxmla_simt::TensorMap;
use oxmla_simt::wgmma::{Mma, Type};

use crate::boxes;
use crate::operands::{Layout, Operand};

/// One entry of the table.
pub enum Case {
    /// A multiply; gives the accumulators of 128 threads.
    Multiply(Multiply),
    /// A TMA load; gives the box in shared memory.
    Load(Load),
    /// A function of pairs of numbers; gives a word for each.
    Function(Function),
}

/// Bytes of shared memory for each operand of a multiply: A first, B behind it.
pub const OPERAND_BYTES: usize = 8192;

/// One `wgmma` on random operands.
pub struct Multiply {
    pub form: Mma,
    /// `None` for A in registers.
    pub a_layout: Option<Layout>,
    pub b_layout: Layout,
    pub a: Operand,
    pub b: Operand,
    /// `[128][n / 2]`.
    pub start: Vec<f32>,
}

impl Multiply {
    fn new(form: Mma, a_layout: Option<Layout>, b_layout: Layout, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let a = Operand::new(form.a, 64, &mut rng);
        let b = Operand::new(form.b, form.n, &mut rng);
        let start = (0..64 * form.n).map(|_| rng.f32()).collect();
        Self { form, a_layout, b_layout, a, b, start }
    }

    /// Both operands as they lie in shared memory, [`OPERAND_BYTES`] each.
    pub fn images(&self) -> [Vec<u8>; 2] {
        let image = |operand: &Operand, layout: Option<Layout>| {
            let mut bytes = layout.map_or(Vec::new(), |layout| operand.bytes(layout));
            bytes.resize(OPERAND_BYTES, 0);
            bytes
        };
        [image(&self.a, self.a_layout), image(&self.b, Some(self.b_layout))]
    }

    /// Descriptors for shared memory that begins at `base`.
    pub fn descriptors(&self, base: u32) -> [u64; 2] {
        let a = self.a_layout.map_or(0, |layout| layout.descriptor(base, self.a.size, 64));
        let b_at = base + OPERAND_BYTES as u32;
        [a, self.b_layout.descriptor(b_at, self.b.size, self.form.n)]
    }
}

/// Bytes of the tensor that boxes are loaded from.
pub const TENSOR_BYTES: usize = 32768;

/// One box of a tensor.
pub struct Load {
    /// For a tensor at address 0.
    pub map: TensorMap,
    pub corner: Vec<i32>,
}

/// The tensor.
pub fn tensor() -> Vec<u8> {
    let mut bytes = vec![0; TENSOR_BYTES];
    fastrand::Rng::with_seed(9).fill(&mut bytes);
    bytes
}

/// A function of two numbers, of which most use the first alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Exp2,
    Log2,
    Recip,
    Rsqrt,
    Max,
    PackBf16,
    PackF16,
    PackE4m3,
}

/// Numbers around every edge: zeros, subnormals, ties of each narrow type, limits, infinities, NaN; and random ones.
pub fn numbers() -> Vec<[f32; 2]> {
    let mut bits = vec![0, 1, 0x007f_ffff, 0x0080_0000, 0x7f7f_ffff, 0x7f80_0000, 0x7fc0_0000];
    // Half a unit of bf16 (16 bits lost), f16 (13) and e4m3 (20), and its neighbours.
    for lost in [16, 13, 20] {
        for exponent in [100, 112, 113, 118, 120, 126, 127, 130, 135, 142, 160] {
            for mantissa in [0_u32, 1, 2] {
                let tie = (exponent << 23 | mantissa << lost) + (1 << (lost - 1));
                bits.extend([tie - 1, tie, tie + 1]);
            }
        }
    }
    let mut rng = fastrand::Rng::with_seed(2);
    let mut numbers: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
    numbers.extend([65504.0, 65519.0, 65520.0, 448.0, 464.0, 480.0, -126.0, -127.0, 127.9, 128.0]);
    numbers.extend((0..256).map(|_| rng.f32() * 40.0 - 20.0));
    let negative: Vec<f32> = numbers.iter().map(|x| -x).collect();
    numbers.extend(negative);
    let count = numbers.len();
    (0..count).map(|i| [numbers[i], numbers[(i + 7) % count]]).collect()
}

/// All cases, in the order in which they are recorded.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut multiply = |form, a, b| {
        let seed = cases.len() as u64;
        cases.push(Case::Multiply(Multiply::new(form, a, b, seed)));
    };
    for ty in [Type::Bf16, Type::F16, Type::E4m3, Type::E5m2] {
        for span in [16, 32, 64, 128] {
            let along_k = Layout { span, k_major: true };
            multiply(Mma::new(ty, 16), Some(along_k), along_k);
            multiply(Mma::new(ty, 16), None, along_k);
            if ty.bytes() == 2 {
                let across = Layout { span, k_major: false };
                let n = span.max(32) / 2;
                let form = Mma { transpose_b: true, ..Mma::new(ty, n) };
                multiply(form, Some(along_k), across);
                let form = Mma { transpose_a: true, ..Mma::new(ty, 16) };
                multiply(form, Some(across), along_k);
            }
        }
    }
    for map in boxes::maps(0) {
        for corner in boxes::corners(&map).into_iter().take(3) {
            cases.push(Case::Load(Load { map: map.clone(), corner }));
        }
    }
    cases.extend(FUNCTIONS.map(Case::Function));
    cases
}

/// All functions.
pub const FUNCTIONS: [Function; 8] = [
    Function::Exp2,
    Function::Log2,
    Function::Recip,
    Function::Rsqrt,
    Function::Max,
    Function::PackBf16,
    Function::PackF16,
    Function::PackE4m3,
];
