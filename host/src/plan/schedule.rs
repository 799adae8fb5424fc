//! The work partition of a step, written out.
//!
//! Every CTA finds its own share with the functions of [`oxmla_kernels::decode::schedule`]; this is the same
//! walk for all parts at once, on the host. A block, here, is 64 tokens, whatever the size of the cache's blocks is.

use std::ops::Range;

pub use oxmla_kernels::abi::{Cut, Reach};
use oxmla_kernels::decode::schedule::Schedule;

use crate::error::{Error, Result};

/// First total cost of a step, in units, that the kernels' 32-bit arithmetic is not made for.
pub const COST_LIMIT: u64 = 1 << 31;

/// Consecutive blocks of one request, attended to by one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The part: a CTA per tile of query rows.
    pub part: u32,
    /// Index of the request in the batch.
    pub request: u32,
    /// The blocks, counted from the beginning of the request; never empty.
    pub blocks: Range<u32>,
    /// Where the partial result goes, or `None` if the piece is the whole request.
    pub slot: Option<u32>,
}

/// What a step costs in all, in units: the sum over its requests of the units within `reach`, and of what beginning a
/// request costs.
///
/// # Errors
/// [`Error::ScheduleTooLarge`].
pub fn total_cost(lengths: &[i32], cut: Cut, reach: Reach) -> Result<u32> {
    let cost = |&length| u64::from(cut.cost(reach.visible(length).len() as u32));
    let total = lengths.iter().map(cost).sum();
    match u32::try_from(total) {
        Ok(cost) if total < COST_LIMIT => Ok(cost),
        _ => Err(Error::ScheduleTooLarge { cost: total, limit: COST_LIMIT }),
    }
}

/// The pieces of a step of requests with `lengths` tokens, of which query tokens see those within `reach`, cut into
/// `parts` parts, in the order of the parts.
///
/// # Errors
/// [`Error::ScheduleTooLarge`]; [`Error::OutOfRange`] if there are no parts.
pub fn pieces(lengths: &[i32], cut: Cut, reach: Reach, parts: u32) -> Result<Pieces<'_>> {
    if parts == 0 {
        let (min, max, got) = (1, u32::MAX.into(), 0);
        return Err(Error::OutOfRange { arg: "parts", min, max, got });
    }
    let schedule = Schedule::new(cut, total_cost(lengths, cut, reach)?, parts);
    Ok(Pieces { lengths, reach, schedule, part: 0, request: 0, start: 0, block: 0 })
}

/// Iterator of [`pieces`].
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    lengths: &'a [i32],
    reach: Reach,
    schedule: Schedule,
    part: u32,
    request: u32,
    /// Where the request begins on the cost line.
    start: u32,
    /// First visible block of the request that is in no piece yet.
    block: u32,
}

impl Pieces<'_> {
    /// How the cost line is cut.
    #[must_use]
    pub const fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// What query tokens see.
    #[must_use]
    pub const fn reach(&self) -> Reach {
        self.reach
    }

    /// Goes on to the next request, or to the next part if this request reaches into it.
    fn advance(&mut self, blocks: u32) {
        let end = self.start + self.schedule.cut.cost(blocks);
        if end <= self.schedule.start(self.part + 1) {
            self.request += 1;
            self.start = end;
            self.block = 0;
        } else {
            self.part += 1;
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        loop {
            let (part, request) = (self.part, self.request);
            let visible = self.reach.visible(*self.lengths.get(request as usize)?);
            let total = visible.end - visible.start;
            let Range { start, end } = self.schedule.share_of(part, self.start, total);
            let first = start.max(self.block);
            if first < end {
                self.block = self.schedule.piece_end(first, end);
                let slot = self.schedule.slot(part, self.start, total, &(first..self.block));
                let blocks = visible.start + first..visible.start + self.block;
                return Some(Piece { part, request, blocks, slot });
            }
            self.advance(total);
        }
    }
}
