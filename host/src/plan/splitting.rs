//! How requests are split among the parts of a step.

use oxmla_kernels::decode::schedule::{K_BLOCK, Schedule};

use super::planner::PlannerConfig;
use super::schedule::{self, Cut, Reach};
use crate::error::Result;

/// What beginning a request may be counted as, in blocks. Where every part has one request at most, beginnings cost
/// all the same and are left out; where parts go through several, they have to be counted. FlashMLA's scheduler
/// always takes 5.
const VISIT_COSTS: [u32; 2] = [0, 5];
/// What beginning a request costs indeed: loading Q, filling the pipeline, writing the result. About 5 µs on an H100,
/// where a block takes 1.8 (`docs/performance-notes.md`, 14).
const VISIT_BLOCKS: u32 = 3;
/// What it costs that a request is split: waiting for the other pieces, and merging them; 4 to 9 µs on an
/// H100 (`bench/results/micro-h100.jsonl`).
const MERGE_BLOCKS: u32 = 3;

/// Where requests are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Splitting {
    /// So that all parts have the same.
    Balanced,
    /// After every 2^`log2_blocks` blocks.
    Fixed {
        /// Base-2 logarithm of the blocks of a piece.
        log2_blocks: u32,
    },
}

impl Splitting {
    /// Parts and cut of a step: with a cut of equal shares, whatever is done first.
    ///
    /// Beside as many parts as there may be, one for each request is tried: with 64 requests of the same length and
    /// room for 66, two more parts make all requests split ones (150 µs instead of 133 for 4,096 tokens each:
    /// `docs/performance-notes.md`, 22).
    pub fn divide(self, lengths: &[i32], reach: Reach, most_parts: u32) -> Result<(u32, Cut)> {
        let cut = self.cut(lengths, reach, most_parts)?;
        let Self::Balanced = self else { return Ok((most_parts, cut)) };
        let requests = lengths.iter().filter(|&&length| length > 0).count() as u32;
        // So many requests in a row that no part has one more than another.
        let rounds = requests.div_ceil(most_parts).max(1);
        let even = requests.div_ceil(rounds).max(1);
        if even == most_parts {
            return Ok((most_parts, cut));
        }
        let even_cut = self.cut(lengths, reach, even)?;
        let is_even_faster =
            longest(lengths, even_cut, reach, even)? < longest(lengths, cut, reach, most_parts)?;
        Ok(if is_even_faster { (even, even_cut) } else { (most_parts, cut) })
    }

    /// The cut of a step whose query tokens see the last `reach` tokens of a request, for `parts` parts.
    pub fn cut(self, lengths: &[i32], reach: Reach, parts: u32) -> Result<Cut> {
        match self {
            Self::Fixed { log2_blocks } => Ok(Cut::fixed(log2_blocks)),
            Self::Balanced => {
                let [first, second] = VISIT_COSTS.map(Cut::balanced);
                let longer = longest(lengths, first, reach, parts)?
                    > longest(lengths, second, reach, parts)?;
                Ok(if longer { second } else { first })
            }
        }
    }

    /// Tiles of partial results that a step with a balanced cut may need: `parts · tiles` is at most one CTA per
    /// multiprocessor, or one per tile if there are more.
    pub const fn balanced_tiles(multiprocessors: u32, tiles: u32) -> u64 {
        let ctas = if multiprocessors > tiles { multiprocessors } else { tiles };
        Schedule::slots(Cut::balanced(0), 0, ctas)
    }

    /// Tiles of partial results that the largest step of a planner may need.
    pub fn partial_tiles(self, config: &PlannerConfig, multiprocessors: u32, tiles: u32) -> u64 {
        match self {
            Self::Balanced => Self::balanced_tiles(multiprocessors, tiles),
            Self::Fixed { log2_blocks } => {
                let cut = Cut::fixed(log2_blocks);
                let tokens = config.max_blocks_per_sequence as u64 * config.block_size as u64;
                let blocks = tokens.div_ceil(K_BLOCK.into()) as u32;
                let total = config.max_batch as u64 * u64::from(cut.cost(blocks));
                Schedule::slots(cut, total, 1).saturating_mul(tiles.into())
            }
        }
    }
}

/// How long it takes until all parts are done, in blocks.
fn longest(lengths: &[i32], cut: Cut, reach: Reach, parts: u32) -> Result<u32> {
    let (mut longest, mut part, mut cost, mut merge) = (0, 0, 0, 0);
    for piece in schedule::pieces(lengths, cut, reach, parts)? {
        if piece.part != part {
            (part, cost) = (piece.part, 0);
        }
        cost += VISIT_BLOCKS + piece.blocks.len() as u32;
        longest = longest.max(cost);
        if piece.slot.is_some() {
            merge = MERGE_BLOCKS;
        }
    }
    Ok(longest + merge)
}

/// A cut in words.
pub(super) fn explain(cut: Cut) -> String {
    if cut.is_fixed() {
        let tokens = K_BLOCK << cut.unit_log2;
        return format!("pieces of {tokens} tokens, whatever else is in the batch");
    }
    match cut.visit_cost {
        0 => "equal shares of all blocks".to_owned(),
        cost => format!("equal shares of all blocks, the beginning of a request counted as {cost}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What query tokens see without a window.
    const ALL: Reach = Reach::ALL;

    /// Requests of very different lengths have equal windows: 63 blocks each, and they stay whole.
    #[test]
    fn windows_make_long_requests_as_short_as_others() -> Result<()> {
        let mut lengths = [4096; 64];
        lengths[7] = 100_000;
        assert_eq!(Splitting::Balanced.divide(&lengths, Reach(4000), 66)?.0, 64);
        assert_eq!(Splitting::Balanced.divide(&lengths, ALL, 66)?.0, 66);
        Ok(())
    }

    /// One request over many parts: every part has a piece of its own, and a beginning each.
    #[test]
    fn beginnings_are_left_out_where_they_cost_all_the_same() -> Result<()> {
        let cut = Splitting::Balanced.cut(&[8192], ALL, 66)?;
        assert_eq!(cut, Cut::balanced(0));
        assert_eq!(schedule::pieces(&[8192], cut, ALL, 66)?.count(), 64);
        Ok(())
    }

    /// As many parts as requests, or half as many, where the few parts more would split them all.
    #[test]
    fn requests_stay_whole_where_that_is_faster() -> Result<()> {
        assert_eq!(Splitting::Balanced.divide(&[4096; 64], ALL, 66)?, (64, Cut::balanced(0)));
        assert_eq!(Splitting::Balanced.divide(&[4096; 128], ALL, 66)?.0, 64);
        assert_eq!(Splitting::Balanced.divide(&[4096; 128], ALL, 132)?.0, 128);
        assert_eq!(Splitting::Balanced.divide(&[8192], ALL, 66)?.0, 66);
        assert_eq!(Splitting::Balanced.divide(&[65536; 40], ALL, 66)?.0, 66);
        assert_eq!(Splitting::Balanced.divide(&[0, 0], ALL, 66)?.0, 66);
        Ok(())
    }

    /// Many short requests and a long one: the parts with the short ones begin more often.
    #[test]
    fn beginnings_are_counted_where_parts_have_different_numbers_of_them() -> Result<()> {
        let mut lengths = [64; 41];
        lengths[40] = 40 * 64;
        assert_eq!(Splitting::Balanced.cut(&lengths, ALL, 4)?, Cut::balanced(5));
        Ok(())
    }

    #[test]
    fn a_fixed_cut_does_not_look_at_the_batch() -> Result<()> {
        let splitting = Splitting::Fixed { log2_blocks: 3 };
        assert_eq!(splitting.cut(&[1, 2], ALL, 4)?, splitting.cut(&[100_000], ALL, 1)?);
        Ok(())
    }
}
