//! The blocks of one request.

use std::ops::Range;

use crate::error::{Error, Result};

/// The cached tokens of one request, and the blocks that hold them. Made, changed and taken back by the
/// [`BlockPool`](super::BlockPool) that its blocks come from; dropping it instead leaves its blocks taken.
#[derive(Debug)]
#[must_use = "the blocks of a dropped sequence stay taken: give it back with `BlockPool::free`"]
pub struct Sequence {
    pub(super) pool: u64,
    /// Tokens of a block.
    pub(super) block_size: usize,
    pub(super) len: usize,
    /// `ceil(len / block_size)` ids.
    pub(super) blocks: Vec<i32>,
}

/// Where a token lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Id of the block.
    pub block: i32,
    /// Token in the block.
    pub offset: usize,
}

impl Sequence {
    /// Cached tokens.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is cached.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens of a block: that of the pool.
    #[must_use]
    pub const fn block_size(&self) -> usize {
        self.block_size
    }

    /// Ids of the blocks, in the order of the tokens: `ceil(len / block size)` of them.
    #[must_use]
    pub fn blocks(&self) -> &[i32] {
        &self.blocks
    }

    /// Where token `position` lies.
    ///
    /// # Errors
    /// [`Error::BeyondSequence`].
    pub fn slot(&self, position: usize) -> Result<Slot> {
        if position >= self.len {
            return Err(Error::BeyondSequence { position, len: self.len });
        }
        Ok(self.slot_at(position))
    }

    /// Where the tokens `positions` lie, one after the other.
    ///
    /// # Errors
    /// [`Error::BeyondSequence`].
    pub fn slots(&self, positions: Range<usize>) -> Result<impl Iterator<Item = Slot>> {
        self.check(&positions)?;
        Ok(positions.map(|position| self.slot_at(position)))
    }

    /// The tokens `positions`, cut where a block ends or the next block does not follow in memory: first
    /// slot and number of tokens of each run.
    ///
    /// # Errors
    /// [`Error::BeyondSequence`].
    pub(super) fn runs(&self, positions: Range<usize>) -> Result<Vec<(Slot, usize)>> {
        self.check(&positions)?;
        let mut runs: Vec<(Slot, usize)> = Vec::new();
        let mut position = positions.start;
        while position < positions.end {
            let slot = self.slot_at(position);
            let tokens = (self.block_size - slot.offset).min(positions.end - position);
            match runs.last_mut() {
                Some((first, len)) if self.follows(*first, *len, slot) => *len += tokens,
                _ => runs.push((slot, tokens)),
            }
            position += tokens;
        }
        Ok(runs)
    }

    /// The block that the next token goes to, if there is one already.
    pub(super) fn unfilled_block(&self) -> Option<i32> {
        self.blocks.last().copied().filter(|_| !self.len.is_multiple_of(self.block_size))
    }

    fn check(&self, positions: &Range<usize>) -> Result<()> {
        if positions.end > self.len {
            return Err(Error::BeyondSequence { position: positions.end - 1, len: self.len });
        }
        Ok(())
    }

    fn slot_at(&self, position: usize) -> Slot {
        let size = self.block_size;
        Slot { block: self.blocks[position / size], offset: position % size }
    }

    /// Whether `slot` lies right behind `len` tokens from `first` on.
    const fn follows(&self, first: Slot, len: usize, slot: Slot) -> bool {
        self.token_index(first) + len == self.token_index(slot)
    }

    /// Index of a token among all tokens of the cache.
    pub(super) const fn token_index(&self, slot: Slot) -> usize {
        slot.block as usize * self.block_size + slot.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(len: usize, blocks: &[i32]) -> Sequence {
        Sequence { pool: 0, block_size: 64, len, blocks: blocks.to_vec() }
    }

    #[test]
    fn slots() {
        let sequence = sequence(130, &[7, 3, 9]);
        assert_eq!(sequence.slot(0), Ok(Slot { block: 7, offset: 0 }));
        assert_eq!(sequence.slot(127), Ok(Slot { block: 3, offset: 63 }));
        assert_eq!(sequence.slot(129), Ok(Slot { block: 9, offset: 1 }));
        let beyond = Error::BeyondSequence { position: 130, len: 130 };
        assert_eq!(sequence.slot(130), Err(beyond.clone()));
        let slots: Result<Vec<_>> = sequence.slots(63..65).map(Iterator::collect);
        assert_eq!(slots, Ok(vec![Slot { block: 7, offset: 63 }, Slot { block: 3, offset: 0 }]));
        assert_eq!(sequence.slots(0..131).err(), Some(beyond));
    }

    #[test]
    fn runs_merge_blocks_that_follow_each_other() -> Result<()> {
        let sequence = sequence(256, &[4, 5, 2, 3]);
        let slot = |block, offset| Slot { block, offset };
        assert_eq!(sequence.runs(0..256)?, [(slot(4, 0), 128), (slot(2, 0), 128)]);
        assert_eq!(sequence.runs(60..200)?, [(slot(4, 60), 68), (slot(2, 0), 72)]);
        assert_eq!(sequence.runs(7..7)?, []);
        assert_eq!(sequence.runs(1..257), Err(Error::BeyondSequence { position: 256, len: 256 }));
        Ok(())
    }
}
