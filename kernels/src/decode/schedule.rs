//! The work partition: which CTA attends to which tokens of which request.
//!
//! Pure functions, shared by host, device and tests. Every CTA computes its own share from the lengths, so
//! that there is no schedule to launch, copy or keep, and a captured graph follows lengths that change on
//! the device.
//!
//! Lay the requests end to end on a line of *cost*, measured in blocks: an empty request takes nothing, any
//! other takes [`VISIT_COST`] and then its blocks. The line is cut into `parts` intervals of equal length;
//! part `p` attends to the blocks that fall into interval `p`. Intervals are contiguous, so a part shares
//! at most its first and its last request with its neighbours: at most two partial results per part, at
//! slots `2 p` and `2 p + 1`, however many requests there are.

use core::ops::Range;

/// Tokens per block.
pub const BLOCK_TOKENS: u32 = 64;

/// What beginning a request costs beside its blocks, in blocks: loading Q, the first pipeline fill and the
/// epilogue. FlashMLA's scheduler uses the same figure.
pub const VISIT_COST: u32 = 5;

/// Blocks that hold `length` tokens; none for a length that is not positive.
#[must_use]
pub const fn blocks(length: i32) -> u32 {
    if length <= 0 { 0 } else { (length as u32).div_ceil(BLOCK_TOKENS) }
}

/// Cost of a request of `blocks` blocks.
#[must_use]
pub const fn cost(blocks: u32) -> u32 {
    if blocks == 0 { 0 } else { VISIT_COST + blocks }
}

/// The cut of the cost line into equal intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Cost of each part; the last parts may have less or nothing.
    pub share: u32,
}

impl Schedule {
    /// Cuts `total` cost into `parts` intervals.
    #[must_use]
    pub const fn new(total: u32, parts: u32) -> Self {
        let share = total.div_ceil(parts);
        Self { share: if share == 0 { 1 } else { share } }
    }

    /// Where the interval of `part` begins.
    #[must_use]
    pub const fn start(&self, part: u32) -> u32 {
        part.saturating_mul(self.share)
    }

    /// The blocks that `part` takes of a request of `blocks` blocks that begins at `start` on the line.
    #[must_use]
    pub const fn piece(&self, part: u32, start: u32, blocks: u32) -> Range<u32> {
        let first = start.saturating_add(VISIT_COST);
        let begin = self.start(part).saturating_sub(first);
        let end = self.start(part).saturating_add(self.share).saturating_sub(first);
        min(begin, blocks)..min(end, blocks)
    }

    /// The parts, first and last, that take blocks of a request of `blocks > 0` blocks at `start`.
    #[must_use]
    pub const fn parts_of(&self, start: u32, blocks: u32) -> (u32, u32) {
        let first = start + VISIT_COST;
        (first / self.share, (first + blocks - 1) / self.share)
    }
}

/// Where the partial result of the piece of a split request that `part` takes is kept: a part can share
/// only its first request with the part before it, and only its last with the part after it.
#[must_use]
pub const fn slot(part: u32, is_first_piece: bool) -> u32 {
    2 * part + if is_first_piece { 1 } else { 0 }
}

const fn min(a: u32, b: u32) -> u32 {
    if a < b { a } else { b }
}
