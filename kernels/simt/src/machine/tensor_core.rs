//! The arithmetic of `wgmma`.
//!
//! Products of the operand types are exact in f32. They are added to the accumulator one after the other in
//! ascending order of K, each sum rounded to f32. The hardware adds the products of one instruction in a
//! wider, truncated fixed-point sum, so that results differ in the last bits.

use half::{bf16, f16};

use super::descriptor::{Major, Operand};
use super::shared::Shared;

/// Element types of the operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
    /// 8 bits, 4 of exponent and 3 of mantissa; no infinity.
    E4m3,
    /// 8 bits, 5 of exponent and 2 of mantissa.
    E5m2,
}

impl Type {
    /// Bytes of an element.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Bf16 | Self::F16 => 2,
            Self::E4m3 | Self::E5m2 => 1,
        }
    }

    /// Elements along K that one instruction multiplies.
    #[must_use]
    pub const fn k(self) -> u32 {
        32 / self.bytes()
    }

    /// The values of the elements in `bytes`.
    fn widen(self, bytes: &[u8], mut put: impl FnMut(usize, f32)) {
        if self.bytes() == 1 {
            for (i, &byte) in bytes.iter().enumerate() {
                put(i, if self == Self::E4m3 { e4m3(byte) } else { e5m2(byte) });
            }
            return;
        }
        for (i, pair) in bytes.chunks_exact(2).enumerate() {
            let bits = u16::from_le_bytes([pair[0], pair[1]]);
            let value = match self {
                Self::Bf16 => bf16::from_bits(bits).to_f32(),
                _ => f16::from_bits(bits).to_f32(),
            };
            put(i, value);
        }
    }
}

/// The value of an e4m3 number: bias 7, all ones is NaN, no infinity.
#[must_use]
pub fn e4m3(bits: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 3 & 15), f32::from(bits & 7) / 8.0);
    let magnitude = match (exponent, bits & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa * (-6f32).exp2(),
        _ => (1.0 + mantissa) * ((exponent - 7) as f32).exp2(),
    };
    if bits & 0x80 != 0 { -magnitude } else { magnitude }
}

/// The value of an e5m2 number: the upper byte of an f16.
#[must_use]
pub fn e5m2(bits: u8) -> f32 {
    f16::from_bits(u16::from(bits) << 8).to_f32()
}

/// An operand as f32, A as `[64][k]`, B as `[k][n]`.
pub struct Matrix {
    pub values: Vec<f32>,
    pub columns: usize,
}

impl Matrix {
    /// A from shared memory: rows are M.
    pub fn rows_from(ty: Type, operand: &Operand, shared: &Shared, rows: usize) -> Self {
        let columns = ty.k() as usize;
        let mut values = vec![0.0; rows * columns];
        gather(ty, operand, shared, |mn, k, value| values[mn * columns + k] = value);
        Self { values, columns }
    }

    /// B from shared memory: rows are K.
    pub fn columns_from(ty: Type, operand: &Operand, shared: &Shared, columns: usize) -> Self {
        let mut values = vec![0.0; columns * ty.k() as usize];
        gather(ty, operand, shared, |mn, k, value| values[k * columns + mn] = value);
        Self { values, columns }
    }

    /// A from the registers of 128 threads.
    pub fn from_fragments(ty: Type, fragments: &[[u32; 4]]) -> Self {
        let columns = ty.k() as usize;
        let per_register = 4 / ty.bytes() as usize;
        let mut values = vec![0.0; 64 * columns];
        for (thread, fragment) in fragments.iter().enumerate() {
            let (warp, lane) = (thread / 32, thread % 32);
            for (i, register) in fragment.iter().enumerate() {
                let row = 16 * warp + lane / 4 + i % 2 * 8;
                let column = (i / 2 * 4 + lane % 4) * per_register;
                ty.widen(&register.to_le_bytes(), |j, value| {
                    values[row * columns + column + j] = value;
                });
            }
        }
        Self { values, columns }
    }
}

fn gather(ty: Type, operand: &Operand, shared: &Shared, mut put: impl FnMut(usize, usize, f32)) {
    for chunk in &operand.chunks {
        let (mn, k) = (chunk.mn as usize, chunk.k as usize);
        ty.widen(shared.data(chunk.offset, 16), |i, value| match operand.major {
            Major::K => put(mn, k + i, value),
            Major::Mn => put(mn + i, k, value),
        });
    }
}

/// `d[64][n] += ±(a · b)`.
pub fn multiply(d: &mut [f32], a: &Matrix, b: &Matrix, negate: bool) {
    let n = b.columns;
    for (row, left) in d.chunks_exact_mut(n).zip(a.values.chunks_exact(a.columns)) {
        for (factor, right) in left.iter().zip(b.values.chunks_exact(n)) {
            let factor = if negate { -*factor } else { *factor };
            for (sum, value) in row.iter_mut().zip(right) {
                *sum += factor * value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bit_floats() {
        assert_eq!(e4m3(0x7e), 448.0);
        assert!(e4m3(0x7f).is_nan() && e4m3(0xff).is_nan());
        assert_eq!(e4m3(0x01), 2f32.powi(-9));
        assert_eq!(e4m3(0xb8), -1.0);
        assert_eq!(e5m2(0x7b), 57344.0);
        assert_eq!(e5m2(0xfc), f32::NEG_INFINITY);
        assert_eq!(e5m2(0x01), 2f32.powi(-16));
    }
}
