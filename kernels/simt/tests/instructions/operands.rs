//! Operands of `wgmma`: random elements, and how they lie in shared memory and registers.

use half::{bf16, f16};
use oxmla_simt::wgmma::Type;

/// How an operand lies in shared memory: bytes of a swizzled row, or 16 without swizzle.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub span: u32,
    /// Rows of memory run along K, not along M or N.
    pub k_major: bool,
}

/// Bits of the descriptor that choose a swizzle.
fn swizzle_bits(span: u32) -> u64 {
    match span {
        128 => 1,
        64 => 2,
        32 => 3,
        _ => 0,
    }
}

impl Layout {
    /// Byte offset of the element in row `mn` (M or N) and column `k` of an operand of `rows` rows.
    fn place(self, mn: u32, k: u32, size: u32, rows: u32) -> u32 {
        let (line, byte) = if self.k_major { (mn, k * size) } else { (k, mn * size) };
        let lines = if self.k_major { rows } else { 32 / size };
        if self.span == 16 {
            // Core matrices of eight lines of 16 bytes, those along the line first.
            let across = if self.k_major { 2 } else { rows * size / 16 };
            return (line / 8 * across + byte / 16) * 128 + line % 8 * 16 + byte % 16;
        }
        // Columns of `span` bytes, one after the other, each of all lines.
        let linear = byte / self.span * (lines * self.span) + line * self.span + byte % self.span;
        let phase = linear / 128 % (self.span / 16);
        linear ^ (phase * 16)
    }

    /// Leading and stride offset, in bytes.
    fn offsets(self, size: u32, rows: u32) -> (u32, u32) {
        let lines = if self.k_major { rows } else { 32 / size };
        match (self.span, self.k_major) {
            (16, true) => (128, 256),
            (16, false) => (rows * size / 16 * 128, 128),
            (span, true) => (16, 8 * span),
            (span, false) => (lines * span, 8 * span),
        }
    }

    /// The matrix descriptor of an operand of `rows` rows at `address`.
    pub fn descriptor(self, address: u32, size: u32, rows: u32) -> u64 {
        let (leading, stride) = self.offsets(size, rows);
        u64::from(address >> 4)
            | u64::from(leading >> 4) << 16
            | u64::from(stride >> 4) << 32
            | swizzle_bits(self.span) << 62
    }
}

/// A random element: its bits and its value.
fn element(ty: Type, rng: &mut fastrand::Rng) -> (u32, f64) {
    let x = (rng.f32() - 0.5) * 4.0;
    match ty {
        Type::Bf16 => (bf16::from_f32(x).to_bits().into(), bf16::from_f32(x).to_f64()),
        Type::F16 => (f16::from_f32(x).to_bits().into(), f16::from_f32(x).to_f64()),
        Type::E4m3 => {
            // Sign, exponents 2^−3 to 2^1, mantissa.
            let bits = rng.u32(..2) << 7 | rng.u32(4..9) << 3 | rng.u32(..8);
            let value = (1.0 + f64::from(bits & 7) / 8.0) * 2f64.powi((bits >> 3 & 15) as i32 - 7);
            (bits, if bits >> 7 == 1 { -value } else { value })
        }
        Type::E5m2 => {
            let bits = rng.u32(..2) << 7 | rng.u32(12..17) << 2 | rng.u32(..4);
            let value = (1.0 + f64::from(bits & 3) / 4.0) * 2f64.powi((bits >> 2 & 31) as i32 - 15);
            (bits, if bits >> 7 == 1 { -value } else { value })
        }
    }
}

pub struct Operand {
    /// Bytes of an element.
    pub size: u32,
    /// Elements along K.
    pub k: u32,
    pub bits: Vec<u32>,
    pub values: Vec<f64>,
}

impl Operand {
    pub fn new(ty: Type, rows: u32, rng: &mut fastrand::Rng) -> Self {
        let (size, k) = if matches!(ty, Type::Bf16 | Type::F16) { (2, 16) } else { (1, 32) };
        let (bits, values) = (0..rows * k).map(|_| element(ty, rng)).unzip();
        Self { size, k, bits, values }
    }

    /// The operand as it lies in shared memory.
    pub fn bytes(&self, layout: Layout) -> Vec<u8> {
        let rows = self.bits.len() as u32 / self.k;
        // A swizzled row wider than the operand's 32 bytes along K is only begun.
        let wide = if layout.k_major { rows * layout.span.max(32) } else { 0 };
        let mut bytes = vec![0; (self.bits.len() * self.size as usize).max(wide as usize)];
        for (i, bits) in self.bits.iter().enumerate() {
            let (mn, k) = (i as u32 / self.k, i as u32 % self.k);
            let at = layout.place(mn, k, self.size, rows) as usize;
            let size = self.size as usize;
            bytes[at..at + size].copy_from_slice(&bits.to_le_bytes()[..size]);
        }
        bytes
    }

    /// The four registers of a thread that hold its part of A.
    pub fn fragment(&self, thread: u32) -> [u32; 4] {
        let (warp, lane) = (thread / 32, thread % 32);
        let per = 4 / self.size;
        std::array::from_fn(|i| {
            let row = 16 * warp + lane / 4 + if i % 2 == 1 { 8 } else { 0 };
            let column = lane % 4 * per + if i >= 2 { 4 * per } else { 0 };
            (0..per)
                .map(|j| self.bits[(row * self.k + column + j) as usize] << (8 * self.size * j))
                .sum()
        })
    }
}
