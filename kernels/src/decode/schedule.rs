//! The work partition: which CTA attends to which tokens of which request.
//!
//! Pure functions, shared by host, device and tests. Every CTA computes its own share from the lengths, so
//! that there is no schedule to launch, copy or keep, and a captured graph follows lengths that change on
//! the device.
//!
//! A block, here, is a *K block*: 64 tokens of a request, from a multiple of 64 on, which the kernels multiply at once;
//! whatever the size of the cache's blocks is.
//!
//! Lay the requests end to end on a line of *cost*, measured in units: an empty request takes nothing, any
//! other takes the cost of a visit and then its units. Only blocks count that some query token sees: behind a
//! sliding window a request begins with the first of these. The line is cut into `parts` intervals of equal length;
//! part `p` attends to what falls into interval `p`.
//!
//! - *Balanced*: a unit is a block, and what a part has of a request is one piece. Intervals are contiguous, so a
//!   part shares at most its first and its last request with its neighbours: at most two partial results per part,
//!   however many requests there are.
//! - *Fixed*: a unit is some power of two of blocks, and every unit is a piece. Where a request is cut then depends
//!   on its length alone.

use core::ops::Range;

use crate::abi::{Cut, Reach};

/// Tokens of a K block.
pub const K_BLOCK: u32 = 64;

/// Blocks that hold `length` tokens; none for a length that is not positive.
#[must_use]
#[inline(always)]
pub const fn blocks(length: i32) -> u32 {
    if length <= 0 { 0 } else { (length as u32).div_ceil(K_BLOCK) }
}

impl Reach {
    /// Without a window.
    pub const ALL: Self = Self(u32::MAX);

    /// Behind a window of `window > 0` tokens for each of `s_q > 0` query tokens.
    #[must_use]
    pub const fn behind(window: u32, s_q: u32) -> Self {
        Self(window.saturating_add(s_q - 1))
    }

    /// Of `tokens` tokens up to the end of a request, how many no query token sees: the first ones.
    #[must_use]
    #[inline(always)]
    pub const fn hidden(self, tokens: i32) -> u32 {
        if tokens <= 0 { 0 } else { (tokens as u32).saturating_sub(self.0) }
    }

    /// The blocks of a request of `length` tokens that some query token sees, counted from the beginning of the request;
    /// not empty if the request is not.
    #[must_use]
    #[inline(always)]
    pub const fn visible(self, length: i32) -> Range<u32> {
        self.hidden(length) / K_BLOCK..blocks(length)
    }
}

impl Cut {
    /// A balanced cut.
    #[must_use]
    pub const fn balanced(visit_cost: u32) -> Self {
        Self { visit_cost, unit_log2: 0, fixed: 0 }
    }

    /// A cut into pieces of 2^`piece_log2` blocks.
    #[must_use]
    pub const fn fixed(piece_log2: u32) -> Self {
        Self { visit_cost: 0, unit_log2: piece_log2, fixed: 1 }
    }

    /// Whether every unit is a piece.
    #[must_use]
    #[inline(always)]
    pub const fn is_fixed(&self) -> bool {
        self.fixed != 0
    }

    /// Units of `blocks` blocks.
    #[must_use]
    #[inline(always)]
    pub const fn units(&self, blocks: u32) -> u32 {
        (blocks + (1 << self.unit_log2) - 1) >> self.unit_log2
    }

    /// Cost of a request of `blocks` blocks, in units.
    #[must_use]
    #[inline(always)]
    pub const fn cost(&self, blocks: u32) -> u32 {
        if blocks == 0 { 0 } else { self.visit_cost + self.units(blocks) }
    }
}

/// The cost line, cut into equal intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// What a unit and a visit are.
    pub cut: Cut,
    /// Cost of each part; the last parts may have less or nothing.
    pub share: u32,
}

impl Schedule {
    /// Cuts `total` cost into `parts` intervals.
    #[must_use]
    #[inline(always)]
    pub const fn new(cut: Cut, total: u32, parts: u32) -> Self {
        let share = total.div_ceil(parts);
        Self { cut, share: if share == 0 { 1 } else { share } }
    }

    /// Where the interval of `part` begins.
    #[must_use]
    #[inline(always)]
    pub const fn start(&self, part: u32) -> u32 {
        part.saturating_mul(self.share)
    }

    /// The blocks that `part` takes of a request of `blocks` visible blocks that begins at `start` on the line, counted
    /// from the first of these: whole units, but for the last.
    #[must_use]
    #[inline(always)]
    pub const fn share_of(&self, part: u32, start: u32, blocks: u32) -> Range<u32> {
        let first = start.saturating_add(self.cut.visit_cost);
        let begin = self.start(part).saturating_sub(first);
        let end = self.start(part).saturating_add(self.share).saturating_sub(first);
        let units = self.cut.units(blocks);
        min(min(begin, units) << self.cut.unit_log2, blocks)
            ..min(min(end, units) << self.cut.unit_log2, blocks)
    }

    /// The end of the piece that begins at `block`, of what a part has of a request up to `end`.
    #[must_use]
    #[inline(always)]
    pub const fn piece_end(&self, block: u32, end: u32) -> u32 {
        if self.cut.is_fixed() { min(block + (1 << self.cut.unit_log2), end) } else { end }
    }

    /// Where `part` keeps the partial result of a piece of a request of `blocks` visible blocks that begins at `start`;
    /// `None` if the piece is the whole request. The piece, too, is counted from the first visible block.
    #[must_use]
    #[inline(always)]
    pub const fn slot(
        &self,
        part: u32,
        start: u32,
        blocks: u32,
        piece: &Range<u32>,
    ) -> Option<u32> {
        if piece.start == 0 && piece.end == blocks {
            None
        } else if self.cut.is_fixed() {
            Some(start + (piece.start >> self.cut.unit_log2))
        } else {
            // A part can share only its first request with the part before it, and only its last with the part
            // after it.
            Some(2 * part + if piece.start == 0 { 1 } else { 0 })
        }
    }

    /// How a request of `blocks > 0` visible blocks at `start` is split, if it is.
    #[must_use]
    #[inline(always)]
    pub const fn split(&self, start: u32, blocks: u32) -> Option<Split> {
        let first = start + self.cut.visit_cost;
        let units = self.cut.units(blocks);
        let (first_part, last_part) = (first / self.share, (first + units - 1) / self.share);
        let parts = last_part - first_part + 1;
        let pieces = if self.cut.is_fixed() { units } else { parts };
        if pieces == 1 {
            return None;
        }
        // As `slot` says.
        let slots = if self.cut.is_fixed() {
            Slots { first: start, others: start, stride: 1 }
        } else {
            Slots { first: 2 * first_part + 1, others: 2 * first_part, stride: 2 }
        };
        Some(Split { pieces, first_part, parts, slots })
    }

    /// Slots for partial results of a batch that costs `total` in `parts` parts.
    #[must_use]
    #[inline(always)]
    pub const fn slots(cut: Cut, total: u64, parts: u32) -> u64 {
        if cut.is_fixed() { total } else { 2 * parts as u64 }
    }
}

/// A request in several pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Pieces: 2 or more.
    pub pieces: u32,
    /// The part that takes the first of them.
    pub first_part: u32,
    /// Parts that take them, one after the other.
    pub parts: u32,
    /// Where their partial results are kept.
    pub slots: Slots,
}

/// Slots of the pieces of a split request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Slot of the first piece.
    pub first: u32,
    /// Slot of any other piece `i`, less `i · stride`.
    pub others: u32,
    /// From one piece to the next.
    pub stride: u32,
}

impl Slots {
    /// None.
    pub const NONE: Self = Self { first: 0, others: 0, stride: 0 };

    /// The slot of piece `index`.
    #[must_use]
    #[inline(always)]
    pub const fn of(&self, index: u32) -> u32 {
        if index == 0 { self.first } else { self.others + index * self.stride }
    }
}

const fn min(a: u32, b: u32) -> u32 {
    if a < b { a } else { b }
}
