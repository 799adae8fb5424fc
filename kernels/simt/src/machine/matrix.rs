//! `ldmatrix` and `stmatrix`: 8 × 8 matrices of 16-bit elements between shared memory and the registers of a
//! warp.

use super::clock::ThreadId;
use super::collective::Then;
use super::shared::Direction;
use super::{Gang, Line, WARP, Words};
use crate::report::Outcome;

/// The lane and the half of its register that hold element `column` of row `row`.
fn place(row: usize, column: usize, transpose: bool) -> (usize, usize) {
    let (row, column) = if transpose { (column, row) } else { (row, column) };
    (4 * row + column / 2, column % 2)
}

impl Gang {
    /// Words in: 0 the address of a row. Out: 0 to 3 the registers.
    pub fn load_matrices(
        &mut self,
        first: ThreadId,
        count: u32,
        transpose: bool,
        lanes: &mut [Words],
        line: Line,
    ) -> Outcome<Then> {
        let mut loaded = [[0; 4]; WARP];
        for giver in 0..8 * count as usize {
            let address = lanes[giver][0] as u32;
            let bytes: [u8; 16] = self
                .load(first + giver, address, line)
                .map_err(|fault| fault.of([first + giver]))?;
            for column in 0..8 {
                let (lane, half) = place(giver % 8, column, transpose);
                let pair = [bytes[2 * column], bytes[2 * column + 1]];
                let element = u64::from(u16::from_le_bytes(pair));
                loaded[lane][giver / 8] |= element << (16 * half);
            }
        }
        for (words, registers) in lanes.iter_mut().zip(loaded) {
            words[..4].copy_from_slice(&registers);
        }
        Ok(Then::Resume)
    }

    /// Words: 0 the address of a row, 1 to 4 the registers. Each lane writes what its registers hold.
    pub fn store_matrices(
        &mut self,
        first: ThreadId,
        count: u32,
        transpose: bool,
        lanes: &mut [Words],
        line: Line,
    ) -> Outcome<Then> {
        // A register holds two neighbours of a row, unless transposed.
        let width = if transpose { 1 } else { 2 };
        let cta = self.cta_of(first);
        for giver in 0..8 * count as usize {
            let address = lanes[giver][0] as u32;
            let outside = self.ctas[cta].shared.check(address, 16, 16);
            outside.map_err(|fault| fault.of([first + giver]))?;
            for column in (0..8).step_by(width) {
                let (lane, half) = place(giver % 8, column, transpose);
                let bits = (lanes[lane][1 + giver / 8] >> (16 * half)) as u32;
                let (at, bytes) = (address + 2 * column as u32, 2 * width as u32);
                let (cta, offset) = self.touch(first + lane, at, bytes, Direction::Write, line)?;
                let place = self.ctas[cta].shared.data_mut(offset, bytes);
                place.copy_from_slice(&bits.to_le_bytes()[..bytes as usize]);
            }
        }
        Ok(Then::Resume)
    }
}
