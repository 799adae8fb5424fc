//! What the kernels leave behind, computed in f64.

use super::{A_TILES, B_TILE, STEPS, WARPGROUP};
use crate::tile::swizzle::{TILE, TILE_BYTES, chunk_offset};

/// A variant, as far as its result is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Columns of the accumulators: 64, 128 or 256.
    pub n: u32,
    /// Whether A comes from registers, which hold only its first 64 columns.
    pub a_in_registers: bool,
}

/// A sum, and what it may be off by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// The sum.
    pub value: f64,
    /// Sum of the magnitudes: what rounding errors are in proportion to.
    pub magnitude: f64,
}

impl Shape {
    /// The sum of the accumulators of thread `thread` after one iteration; `operands` are bf16 as they lie in
    /// shared memory, `OPERAND_BYTES` of them.
    #[must_use]
    pub fn expected_sum(&self, operands: &[u16], thread: u32) -> Sum {
        let (group, lane) = (thread / WARPGROUP, thread % 32);
        let row = thread % WARPGROUP / 32 * 16 + lane / 4;
        let mut sum = Sum::default();
        for k in 0..16 * STEPS {
            let a_column = if self.a_in_registers { k % TILE } else { k };
            let a = |row| {
                let tile = group * A_TILES + a_column / TILE;
                element(operands, tile, row, a_column % TILE)
            };
            let (upper, lower) = (a(row), a(row + 8));
            for column in (0..self.n).filter(|column| column % 8 / 2 == lane % 4) {
                let b = self.b(operands, k, column);
                sum.value += upper * b + lower * b;
                sum.magnitude += (upper * b).abs() + (lower * b).abs();
            }
        }
        sum
    }

    fn b(&self, operands: &[u16], k: u32, column: u32) -> f64 {
        let tile = B_TILE + k / TILE * (self.n / TILE) + column / TILE;
        let (k, column) = (k % TILE, column % TILE);
        let mn_major = self.n == 256;
        let (row, column) = if mn_major { (k, column) } else { (column, k) };
        element(operands, tile, row, column)
    }
}

/// An element of a swizzled tile.
fn element(operands: &[u16], tile: u32, row: u32, column: u32) -> f64 {
    let offset = tile * TILE_BYTES + chunk_offset(row, column / 8) + column % 8 * 2;
    let bits = u32::from(operands[offset as usize / 2]) << 16;
    f64::from(f32::from_bits(bits))
}
