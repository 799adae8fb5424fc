//! Sinks: a score for each head that takes its share of the softmax and has no value.

use super::rows::Tile;
use crate::ptx::{global, math, registers};

/// `*const f32 [h_q]`: the sinks, or 0 for none.
#[derive(Clone, Copy)]
pub struct Sinks(pub u64);

impl Sinks {
    /// None.
    pub const NONE: Self = Self(0);

    /// Sinks of two rows of a tile, in powers of two; `None` if there are none.
    #[inline(always)]
    pub fn of_rows(self, tile: &Tile, rows: [u32; 2]) -> Option<[f32; 2]> {
        (self.0 != 0).then(|| rows.map(|row| self.of_row(tile, row)))
    }

    #[inline(always)]
    fn of_row(self, tile: &Tile, row: u32) -> f32 {
        // Hidden from the compiler, which would work out where the sink is before the first block, and keep it.
        let row = registers::opaque(row);
        if !tile.contains(row) {
            return f32::NEG_INFINITY;
        }
        let sink = (self.0 as *const i32).wrapping_add(tile.head(row) as usize);
        // SAFETY: the head exists; the launcher vouches for the parameters.
        f32::from_bits(unsafe { global::load_i32(sink) } as u32) * core::f32::consts::LOG2_E
    }
}

/// By what to multiply the output of a row: 1 / (sum + 2^(sink − reference)), or 0 for a row that saw no token. An infinite
/// sink leaves all of it, or nothing.
#[inline(always)]
pub fn normaliser(sum: f32, reference: f32, sink: Option<f32>) -> f32 {
    let whole = match sink {
        Some(sink) => sum + math::exp2(sink - reference),
        None => sum,
    };
    if sum == 0.0 { 0.0 } else { math::recip(whole) }
}
