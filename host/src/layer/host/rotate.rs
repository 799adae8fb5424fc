//! Rotary embedding of the rotary part of a row.

use crate::backend::cpu::rows;
use crate::rope::ROPE_PAIRS;
use crate::tensor::TensorRef;

/// Elements that a rotation turns.
pub const D_ROPE: usize = 2 * ROPE_PAIRS;

/// Cosine and sine of every pair at `position`, of a table `[positions, 32, 2]`.
pub fn turns(table: &TensorRef<'_>, position: usize) -> [[f32; 2]; ROPE_PAIRS] {
    std::array::from_fn(|pair| {
        let mut turn = [0.0; 2];
        // SAFETY: the layer has checked that the table has the position.
        unsafe { rows::load(table, [position, pair, 0], &mut turn) };
        turn
    })
}

/// Turns the pairs `(2 i, 2 i + 1)`.
pub fn rotate(row: &mut [f32], turns: &[[f32; 2]; ROPE_PAIRS]) {
    for (pair, [cos, sin]) in row.chunks_exact_mut(2).zip(turns) {
        let (x, y) = (pair[0], pair[1]);
        pair[0] = x * cos - y * sin;
        pair[1] = x * sin + y * cos;
    }
}
