//! Room for new tokens.

use std::iter;
use std::ops::Range;

use super::pool::BlockPool;
use super::sequence::Sequence;
use crate::error::{Error, Result};

/// Lengths travel to the kernels as `i32`.
pub(super) const MAX_LEN: usize = i32::MAX as usize;

/// What [`BlockPool::append`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a block to copy must be copied in every layer's cache before the new rows are written"]
pub struct Append {
    /// The new tokens' positions in the sequence; [`Sequence::slots`] says where they lie.
    pub positions: Range<usize>,
    /// A block to copy first, because another sequence goes on using it or it is published.
    pub copy: Option<BlockCopy>,
}

/// A copy of a whole block, to be made in the cache of every layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockCopy {
    /// Id of the block to read.
    pub from: i32,
    /// Id of the block to write.
    pub to: i32,
}

impl BlockPool {
    /// Makes room for `tokens` more tokens at the end of `sequence`.
    ///
    /// # Errors
    /// - [`Error::OutOfBlocks`] if too few blocks are available.
    /// - [`Error::OutOfRange`] if the sequence would have more tokens than an `i32` can count.
    /// - [`Error::SequenceOfAnotherPool`].
    ///
    /// In each case pool and sequence are as before.
    pub fn append(&mut self, sequence: &mut Sequence, tokens: usize) -> Result<Append> {
        let blocks = self.growth(iter::once((&*sequence, tokens)))?;
        self.require(blocks)?;
        Ok(self.grow(sequence, tokens))
    }

    /// Makes room in each sequence of a batch for so many more tokens: in all of them, or in none.
    ///
    /// All blocks to copy must have been copied before the first new row is written, for the last of several
    /// sequences that share a block goes on in the block that the others copy. The order of the copies is free.
    ///
    /// ```
    /// # use oxmla::{BlockCopy, BlockPool};
    /// # fn main() -> oxmla::Result<()> {
    /// let mut pool = BlockPool::new(8)?;
    /// let mut first = pool.sequence();
    /// let _ = pool.append(&mut first, 100)?;
    /// let mut second = pool.fork(&first)?;
    /// let appends = pool.append_all(&mut [(&mut first, 1), (&mut second, 1)])?;
    /// let copies: Vec<BlockCopy> = appends.iter().filter_map(|append| append.copy).collect();
    /// assert_eq!(copies.len(), 1); // two sequences share the block, and one of them may keep it
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`append`](BlockPool::append), with the blocks of the whole batch in [`Error::OutOfBlocks`].
    pub fn append_all(&mut self, batch: &mut [(&mut Sequence, usize)]) -> Result<Vec<Append>> {
        let blocks = self.growth(batch.iter().map(|(sequence, tokens)| (&**sequence, *tokens)))?;
        self.require(blocks)?;
        Ok(batch.iter_mut().map(|(sequence, tokens)| self.grow(sequence, *tokens)).collect())
    }

    /// Blocks that appending to these sequences takes.
    pub(super) fn growth<'a>(
        &self,
        batch: impl Iterator<Item = (&'a Sequence, usize)>,
    ) -> Result<usize> {
        let (mut blocks, mut unfilled) = (0, Vec::new());
        for (sequence, tokens) in batch {
            self.check(sequence)?;
            let len = checked_len(sequence.len, tokens)?;
            blocks += len.div_ceil(self.block_size) - sequence.blocks.len();
            unfilled.extend(sequence.unfilled_block().filter(|_| tokens > 0));
        }
        unfilled.sort_unstable();
        Ok(blocks + unfilled.chunk_by(|a, b| a == b).map(|group| self.copies(group)).sum::<usize>())
    }

    /// Copies that are due when all of these sequences append, which hold the same unfilled block.
    fn copies(&self, group: &[i32]) -> usize {
        let block = group[0];
        let keepers = self.holders(block) + usize::from(self.is_published(block));
        // Whoever comes last has the block alone, unless somebody keeps it who does not append.
        group.len().min(keepers - 1)
    }

    pub(super) fn require(&self, blocks: usize) -> Result<()> {
        let available = self.available();
        if blocks <= available {
            return Ok(());
        }
        Err(Error::OutOfBlocks { requested: blocks, available })
    }

    /// Makes room where the blocks are known to be there.
    pub(super) fn grow(&mut self, sequence: &mut Sequence, tokens: usize) -> Append {
        let copy = if tokens > 0 { self.own_unfilled_block(sequence) } else { None };
        let positions = sequence.len..sequence.len + tokens;
        let missing = positions.end.div_ceil(self.block_size) - sequence.blocks.len();
        sequence.blocks.extend((0..missing).map_while(|_| self.take()));
        sequence.len = positions.end;
        Append { positions, copy }
    }

    /// Sees to it that nobody else reads the block that the next token goes to.
    fn own_unfilled_block(&mut self, sequence: &mut Sequence) -> Option<BlockCopy> {
        let is_kept = |&block: &i32| self.holders(block) > 1 || self.is_published(block);
        let from = sequence.unfilled_block().filter(is_kept)?;
        let to = self.take()?;
        self.release(from);
        sequence.blocks.pop();
        sequence.blocks.push(to);
        Some(BlockCopy { from, to })
    }
}

/// Length of a sequence of `len` tokens with `tokens` more.
pub(super) fn checked_len(len: usize, tokens: usize) -> Result<usize> {
    len.checked_add(tokens).filter(|&sum| sum <= MAX_LEN).ok_or_else(|| {
        let (max, got) = ((MAX_LEN - len) as i128, tokens as i128);
        Error::OutOfRange { arg: "tokens", min: 0, max, got }
    })
}
