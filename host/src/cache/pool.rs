//! Who owns which block.

use std::sync::atomic::{AtomicU64, Ordering};

use super::layout::{BLOCK_SIZE, check_block_size};
use super::prefix::PrefixIndex;
use super::sequence::Sequence;
use crate::check;
use crate::error::{Error, Result};

/// The blocks of a cache: which are free, and how many sequences share each of the others.
///
/// Sequences share blocks after a [`fork`](BlockPool::fork), and those of a common prefix if the pool was made
/// [`with_prefix_index`](BlockPool::with_prefix_index). A block that is shared or published is never written: the
/// sequence that is to go on inside one gets a copy of its own first.
///
/// ```
/// use oxmla::{BlockPool, BlockTable};
///
/// # fn main() -> oxmla::Result<()> {
/// let mut pool = BlockPool::new(8)?;
/// let mut first = pool.sequence();
/// let _ = pool.append(&mut first, 100)?; // 64 tokens in one block, 36 in another
/// let mut second = pool.fork(&first)?; // the same tokens in the same blocks
/// let copy = pool.append(&mut second, 1)?.copy.expect("the last block is shared and not full");
/// assert_eq!((copy.from, copy.to), (first.blocks()[1], second.blocks()[1]));
/// assert_eq!(BlockTable::from_sequences(&[&first, &second])?.lengths(), [100, 101]);
///
/// pool.truncate(&mut second, 64)?; // the copy is free again
/// pool.free(first)?;
/// pool.free(second)?;
/// assert_eq!(pool.available(), 8);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BlockPool {
    id: u64,
    /// Tokens of a block.
    pub(super) block_size: usize,
    /// Blocks that nobody holds and the index does not know; the next one to be taken last.
    free: Vec<i32>,
    /// Sequences that hold each block.
    holders: Vec<u32>,
    pub(super) index: Option<PrefixIndex>,
}

impl BlockPool {
    /// A pool of `blocks` free blocks of [`BLOCK_SIZE`] tokens.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are none, or more than an `i32` can number.
    pub fn new(blocks: usize) -> Result<Self> {
        Self::with_block_size(blocks, BLOCK_SIZE)
    }

    /// A pool of `blocks` free blocks of `block_size` tokens: 16, 32, 64 or 128. Small blocks leave less room unused at
    /// the ends of requests, and are shared by more of their prefixes; large ones make short tables.
    ///
    /// # Errors
    /// As for [`BlockPool::new`], and [`Error::UnsupportedBlockSize`].
    pub fn with_block_size(blocks: usize, block_size: usize) -> Result<Self> {
        check_block_size(block_size)?;
        check::range("blocks", blocks as i128, 1, i32::MAX)?;
        static POOLS: AtomicU64 = AtomicU64::new(0);
        let id = POOLS.fetch_add(1, Ordering::Relaxed);
        let free = (0..blocks as i32).rev().collect();
        Ok(Self { id, block_size, free, holders: vec![0; blocks], index: None })
    }

    /// Tokens of a block.
    #[must_use]
    pub const fn block_size(&self) -> usize {
        self.block_size
    }

    /// Blocks in all.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.holders.len()
    }

    /// Blocks that no sequence holds, [`cached`](BlockPool::cached) ones included: those that can be taken.
    #[must_use]
    pub fn available(&self) -> usize {
        self.free.len() + self.cached()
    }

    /// A sequence without tokens.
    pub fn sequence(&self) -> Sequence {
        let (pool, block_size) = (self.id, self.block_size);
        Sequence { pool, block_size, len: 0, blocks: Vec::new() }
    }

    /// A second sequence with the same tokens, which shares all blocks of the first.
    ///
    /// # Errors
    /// [`Error::SequenceOfAnotherPool`].
    pub fn fork(&mut self, sequence: &Sequence) -> Result<Sequence> {
        self.check(sequence)?;
        for &block in &sequence.blocks {
            self.hold(block);
        }
        Ok(Sequence { len: sequence.len, blocks: sequence.blocks.clone(), ..self.sequence() })
    }

    /// Forgets the tokens of `sequence` from `len` on, such as speculative ones that were refused.
    ///
    /// # Errors
    /// [`Error::BeyondSequence`] if it has fewer, [`Error::SequenceOfAnotherPool`].
    pub fn truncate(&mut self, sequence: &mut Sequence, len: usize) -> Result<()> {
        self.check(sequence)?;
        if len > sequence.len {
            return Err(Error::BeyondSequence { position: len, len: sequence.len });
        }
        // Last block first: of a prefix that stays cached, the end is evicted before the beginning.
        for block in sequence.blocks.drain(len.div_ceil(self.block_size)..).rev() {
            self.release(block);
        }
        sequence.len = len;
        Ok(())
    }

    /// Takes back a sequence.
    ///
    /// # Errors
    /// [`Error::SequenceOfAnotherPool`]; its blocks then stay taken in the other pool, as after a drop.
    pub fn free(&mut self, mut sequence: Sequence) -> Result<()> {
        self.truncate(&mut sequence, 0)
    }

    /// Whether the blocks of `sequence` come from this pool.
    #[must_use]
    pub const fn owns(&self, sequence: &Sequence) -> bool {
        sequence.pool == self.id
    }

    pub(super) fn check(&self, sequence: &Sequence) -> Result<()> {
        if self.owns(sequence) {
            return Ok(());
        }
        Err(Error::SequenceOfAnotherPool { sequence: sequence.pool, pool: self.id })
    }

    /// Sequences that hold `block`.
    pub(super) fn holders(&self, block: i32) -> usize {
        self.holders[block as usize] as usize
    }

    /// One more sequence holds `block`.
    pub(super) fn hold(&mut self, block: i32) {
        let holders = &mut self.holders[block as usize];
        if *holders == 0
            && let Some(index) = &mut self.index
        {
            index.revive(block);
        }
        *holders += 1;
    }

    /// A block for one sequence: a free one, or else the cached one that has been of no use for longest.
    pub(super) fn take(&mut self) -> Option<i32> {
        let block = self.free.pop().or_else(|| self.index.as_mut()?.evict())?;
        self.holders[block as usize] = 1;
        Some(block)
    }

    /// One sequence less holds `block`.
    pub(super) fn release(&mut self, block: i32) {
        let holders = &mut self.holders[block as usize];
        *holders -= 1;
        if *holders > 0 {
            return;
        }
        let cached = self.index.as_mut().is_some_and(|index| index.retire(block));
        if !cached {
            self.free.push(block);
        }
    }

    /// Takes back blocks that the index has let go.
    pub(super) fn reclaim(&mut self, blocks: impl IntoIterator<Item = i32>) {
        self.free.extend(blocks);
    }
}
