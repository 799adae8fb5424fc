//! Blocks that requests with the same first tokens share.

mod index;

pub(super) use index::PrefixIndex;

use super::pool::BlockPool;
use super::sequence::Sequence;
use crate::error::{Error, Result};

impl BlockPool {
    /// A pool of `blocks` free blocks of [`BLOCK_SIZE`](super::BLOCK_SIZE) tokens that finds published tokens again: as
    /// [`indexing_prefixes`](BlockPool::indexing_prefixes).
    ///
    /// # Errors
    /// As for [`BlockPool::new`].
    pub fn with_prefix_index(blocks: usize) -> Result<Self> {
        Ok(Self::new(blocks)?.indexing_prefixes())
    }

    /// The same pool, which from now on finds published tokens again.
    ///
    /// A block that is [published](BlockPool::publish) stays cached when its last sequence lets it go, until the
    /// pool has no other block left; then those go first that have been without a sequence for longest. A
    /// cached block of 64 tokens costs about 300 bytes on the host.
    #[must_use]
    pub fn indexing_prefixes(mut self) -> Self {
        let (blocks, block_size) = (self.capacity(), self.block_size);
        self.index.get_or_insert_with(|| PrefixIndex::new(blocks, block_size));
        self
    }

    /// Blocks that no sequence holds, but that published tokens are still found in.
    #[must_use]
    pub fn cached(&self) -> usize {
        self.index.as_ref().map_or(0, PrefixIndex::unused)
    }

    /// Lets others find the full blocks of `sequence`, whose first tokens have the ids `tokens`. Where the same
    /// tokens are known to lie in other blocks already, those stay the ones that are found.
    ///
    /// The rows of these tokens must have been written, or must be before anything else reads them. A published
    /// block is never written again: a sequence that is truncated inside one and appended to gets a copy.
    /// Does nothing without an index. The cost is one hash of the ids of every full block: publish when a block
    /// has become full, not in every step.
    ///
    /// # Errors
    /// [`Error::BeyondSequence`] if the sequence has fewer tokens, [`Error::SequenceOfAnotherPool`].
    pub fn publish(&mut self, sequence: &Sequence, tokens: &[u32]) -> Result<()> {
        self.check(sequence)?;
        if tokens.len() > sequence.len {
            return Err(Error::BeyondSequence { position: tokens.len(), len: sequence.len });
        }
        if let Some(index) = &mut self.index {
            index.publish(&sequence.blocks, tokens);
        }
        Ok(())
    }

    /// How many of the first `tokens` are cached: a multiple of the block size, 0 without an index.
    #[must_use]
    pub fn cached_tokens(&self, tokens: &[u32]) -> usize {
        self.find(tokens).count() * self.block_size
    }

    /// A sequence of as many of the first `tokens` as are cached. [`admit`](BlockPool::admit) makes room for the
    /// others too; this is for prompts that are computed in chunks.
    pub fn cached_prefix(&mut self, tokens: &[u32]) -> Sequence {
        let blocks = self.find(tokens).collect();
        self.share(blocks)
    }

    /// Forgets all that was published, as is due when the model's weights have changed.
    pub fn forget_prefixes(&mut self) {
        let blocks = self.index.as_mut().map_or_else(Vec::new, PrefixIndex::clear);
        self.reclaim(blocks);
    }

    pub(super) fn is_published(&self, block: i32) -> bool {
        self.index.as_ref().is_some_and(|index| index.contains(block))
    }

    /// The blocks that hold as many of the first `tokens` as are cached.
    pub(super) fn find(&self, tokens: &[u32]) -> impl Iterator<Item = i32> {
        self.index.iter().flat_map(|index| index.find(tokens))
    }

    /// A sequence of these full blocks.
    pub(super) fn share(&mut self, blocks: Vec<i32>) -> Sequence {
        for &block in &blocks {
            self.hold(block);
        }
        Sequence { len: blocks.len() * self.block_size, blocks, ..self.sequence() }
    }
}
