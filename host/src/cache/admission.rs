//! What will fit: asked before a step, so that no step stops in its middle.

use std::ops::Range;

use super::growth::checked_len;
use super::pool::BlockPool;
use super::sequence::Sequence;
use crate::error::Result;

/// A prompt that a pool has taken in.
#[derive(Debug)]
pub struct Admission {
    /// The prompt's tokens.
    pub sequence: Sequence,
    /// Those of them whose rows are to be computed and written; those before them are cached.
    pub positions: Range<usize>,
}

impl BlockPool {
    /// Blocks that [`append_all`](BlockPool::append_all) takes for this batch, each sequence with the number of
    /// its new tokens. Several steps take no more than one with the tokens of all of them, whatever is admitted,
    /// published or freed in between; only forking one of these sequences, or truncating it inside a block that
    /// is shared or published, can add a block to copy.
    ///
    /// # Errors
    /// [`Error::SequenceOfAnotherPool`](crate::Error::SequenceOfAnotherPool), and
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) if a sequence would have more tokens than an `i32` can
    /// count.
    pub fn blocks_to_append(&self, batch: &[(&Sequence, usize)]) -> Result<usize> {
        self.growth(batch.iter().copied())
    }

    /// Whether [`append_all`](BlockPool::append_all) finds the blocks for this batch.
    ///
    /// # Errors
    /// As for [`blocks_to_append`](BlockPool::blocks_to_append).
    pub fn can_append(&self, batch: &[(&Sequence, usize)]) -> Result<bool> {
        Ok(self.blocks_to_append(batch)? <= self.available())
    }

    /// Takes in a new request, if `watermark` blocks then stay available to the running ones. What they need
    /// for the next steps is a good watermark: a request is then never admitted at the cost of one that runs.
    ///
    /// The sequence begins with what is [cached](BlockPool::cached_tokens) of the prompt, but never with all of
    /// it: the last token is computed anew, for its output is what the first new token comes from.
    ///
    /// ```
    /// use oxmla::{BlockPool, Error};
    ///
    /// # fn main() -> oxmla::Result<()> {
    /// let mut pool = BlockPool::with_prefix_index(8)?;
    /// let prompt: Vec<u32> = (0..200).collect();
    /// let first = pool.admit(&prompt, 0)?;
    /// assert_eq!(first.positions, 0..200);
    /// // … the rows of the 200 tokens are written …
    /// pool.publish(&first.sequence, &prompt)?;
    ///
    /// let eight_steps = pool.blocks_to_append(&[(&first.sequence, 8)])?;
    /// let second = pool.admit(&prompt, eight_steps)?; // three of its four blocks are the first one's
    /// assert_eq!(second.positions, 192..200);
    /// assert_eq!(second.sequence.blocks()[..3], first.sequence.blocks()[..3]);
    ///
    /// let refused = pool.admit(&[7; 200], eight_steps).unwrap_err(); // it waits
    /// assert_eq!(refused, Error::OutOfBlocks { requested: 4, available: 3 });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Error::OutOfBlocks`](crate::Error::OutOfBlocks) if too few blocks are available; what it says to be
    ///   requested includes the watermark. Beyond the pool's [capacity](BlockPool::capacity), waiting is in vain.
    /// - [`Error::OutOfRange`](crate::Error::OutOfRange) if an `i32` cannot count the tokens.
    ///
    /// In both cases the pool is as before.
    pub fn admit(&mut self, prompt: &[u32], watermark: usize) -> Result<Admission> {
        let len = checked_len(0, prompt.len())?;
        let cached: Vec<i32> = self.find(&prompt[..len.saturating_sub(1)]).collect();
        let unheld = cached.iter().filter(|&&block| self.holders(block) == 0).count();
        let blocks = len.div_ceil(self.block_size) - cached.len() + unheld;
        self.require(blocks.saturating_add(watermark))?;
        let mut sequence = self.share(cached);
        let uncached = len - sequence.len;
        let positions = self.grow(&mut sequence, uncached).positions;
        Ok(Admission { sequence, positions })
    }
}
