//! The outcome of planning.

use oxmla_kernels::abi::Rows;

use super::kernel::{self, Variant};
use super::schedule::{Cut, Piece, Pieces, Reach};
use super::splitting;
use super::step::Mask;

/// One decode step, for all layers: made by [`Planner::plan`](super::Planner::plan), good until the planner
/// plans the next step.
#[derive(Clone, Debug)]
pub struct DecodePlan {
    pub(super) planner: u64,
    pub(super) step: u64,
    pub(super) batch: usize,
    pub(super) s_q: u32,
    pub(super) h_q: u32,
    pub(super) mask: Mask,
    pub(super) rows: Rows,
    pub(super) parts: u32,
    pub(super) cut: Cut,
    pub(super) reach: Reach,
    pub(super) variant: Variant,
    pub(super) summary: Summary,
}

/// A schedule in a few numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Cached tokens of all requests.
    pub tokens: u64,
    /// Requests without cached tokens.
    pub empty_requests: u32,
    /// Requests in more than one piece.
    pub split_requests: u32,
    /// Pieces that these requests are split into.
    pub partial_pieces: u32,
    /// Parts that have something to do.
    pub busy_parts: u32,
    /// Blocks of 64 tokens of the part that has most.
    pub most_blocks: u32,
}

impl Summary {
    pub(super) fn new(lengths: &[i32], pieces: Pieces<'_>) -> Self {
        let tokens = lengths.iter().map(|&length| length as u64).sum();
        let empty_requests = lengths.iter().filter(|&&length| length == 0).count() as u32;
        let mut summary = Self { tokens, empty_requests, ..Self::default() };
        let reach = pieces.reach();
        let (mut part, mut blocks) = (None, 0);
        for piece in pieces {
            if part != Some(piece.part) {
                part = Some(piece.part);
                blocks = 0;
                summary.busy_parts += 1;
            }
            blocks += piece.blocks.len() as u32;
            summary.most_blocks = summary.most_blocks.max(blocks);
            let visible = reach.visible(lengths[piece.request as usize]);
            summary.count_partial(&piece, visible.start);
        }
        summary
    }

    fn count_partial(&mut self, piece: &Piece, first_block: u32) {
        if piece.slot.is_some() {
            self.partial_pieces += 1;
            self.split_requests += u32::from(piece.blocks.start == first_block);
        }
    }
}

impl DecodePlan {
    /// Number of the step, counted by its planner from 1 on.
    #[must_use]
    pub const fn step(&self) -> u64 {
        self.step
    }

    /// Requests.
    #[must_use]
    pub const fn batch(&self) -> usize {
        self.batch
    }

    /// Query tokens per request.
    #[must_use]
    pub const fn s_q(&self) -> u32 {
        self.s_q
    }

    /// Which cached tokens they see.
    #[must_use]
    pub const fn mask(&self) -> Mask {
        self.mask
    }

    /// How query rows are packed.
    #[must_use]
    pub const fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Parts that the cached tokens are divided into; each is one CTA per tile of query rows. On a GPU as many as
    /// there is room for, or as many as keep the requests whole; 1 on the CPU, which shares out query rows instead;
    /// up to 4 on the simulator.
    #[must_use]
    pub const fn parts(&self) -> u32 {
        self.parts
    }

    /// How the cached tokens are divided among the parts.
    #[must_use]
    pub const fn cut(&self) -> Cut {
        self.cut
    }

    /// How many tokens at the end of a request any query token sees.
    #[must_use]
    pub const fn reach(&self) -> Reach {
        self.reach
    }

    /// Which kernel computes it. The CPU computes the same in its own way.
    #[must_use]
    pub const fn variant(&self) -> Variant {
        self.variant
    }

    /// The schedule in a few numbers.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The plan in words, for people.
    #[must_use]
    pub fn explain(&self) -> String {
        let Self { step, batch, s_q, h_q, mask, rows, parts, cut, variant, summary, .. } = self;
        let (cut, kernel) = (splitting::explain(*cut), kernel::explain(*variant));
        let Summary { tokens, empty_requests, .. } = summary;
        let Summary { split_requests, partial_pieces, busy_parts, most_blocks, .. } = summary;
        let tiles = rows.tiles();
        format!(
            "step {step}: {batch} requests ({empty_requests} empty), {tokens} cached tokens\n\
             rows: {s_q} query tokens x {h_q} heads in {tiles} tiles of 64, {mask}\n\
             kernel: {kernel}\n\
             schedule: {cut}; {busy_parts} of {parts} parts busy, at most {most_blocks} blocks each; \
             {split_requests} requests split into {partial_pieces} pieces"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::plan::schedule::pieces;

    #[test]
    fn summary_of_a_schedule() -> Result<()> {
        // Cost 5 + 10, 0 and 5 + 1 blocks; 7 for each of three parts: blocks 0..2, 2..9, 9..10 and the last.
        let lengths = [640, 0, 64];
        let expected = Summary {
            tokens: 704,
            empty_requests: 1,
            split_requests: 1,
            partial_pieces: 3,
            busy_parts: 3,
            most_blocks: 7,
        };
        assert_eq!(
            Summary::new(&lengths, pieces(&lengths, Cut::balanced(5), Reach::ALL, 3)?),
            expected
        );
        Ok(())
    }

    /// Blocks 6 to 9 and the only one, in two parts of three and two.
    #[test]
    fn summary_of_a_schedule_behind_a_window() -> Result<()> {
        let lengths = [640, 64];
        let expected = Summary {
            tokens: 704,
            empty_requests: 0,
            split_requests: 1,
            partial_pieces: 2,
            busy_parts: 2,
            most_blocks: 3,
        };
        let (cut, reach) = (Cut::balanced(0), Reach::behind(200, 1));
        assert_eq!(Summary::new(&lengths, pieces(&lengths, cut, reach, 2)?), expected);
        Ok(())
    }
}
