//! Who owns which block.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::layout::BLOCK_SIZE;
use super::sequence::Sequence;
use crate::check;
use crate::error::{Error, Result};

/// The blocks of a cache: which are free, and how many sequences share each of the others.
///
/// Sequences share blocks after a [`fork`](BlockPool::fork). A shared block is never written: the sequence
/// that appends to a partly filled one gets a copy of its own first.
#[derive(Debug)]
pub struct BlockPool {
    id: u64,
    /// Free blocks; the next one to be taken last.
    free: Vec<i32>,
    /// Sequences that hold each block.
    holders: Vec<u32>,
}

/// What [`BlockPool::append`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a block to copy must be copied in every layer's cache before the new rows are written"]
pub struct Append {
    /// The new tokens' positions in the sequence; [`Sequence::slot`] says where they lie.
    pub positions: Range<usize>,
    /// A block to copy first, because another sequence goes on using it.
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
    /// A pool of `blocks` free blocks.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are none, or more than an `i32` can number.
    pub fn new(blocks: usize) -> Result<Self> {
        check::range("blocks", blocks as i128, 1, i32::MAX)?;
        static POOLS: AtomicU64 = AtomicU64::new(0);
        let id = POOLS.fetch_add(1, Ordering::Relaxed);
        Ok(Self { id, free: (0..blocks as i32).rev().collect(), holders: vec![0; blocks] })
    }

    /// Blocks in all.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.holders.len()
    }

    /// Free blocks.
    #[must_use]
    pub fn available(&self) -> usize {
        self.free.len()
    }

    /// A sequence without tokens.
    pub fn sequence(&self) -> Sequence {
        Sequence { pool: self.id, len: 0, blocks: Vec::new() }
    }

    /// Makes room for `tokens` more tokens at the end of `sequence`.
    ///
    /// # Errors
    /// - [`Error::OutOfBlocks`] if too few blocks are free.
    /// - [`Error::OutOfRange`] if the sequence would have more tokens than an `i32` can count.
    /// - [`Error::SequenceOfAnotherPool`].
    ///
    /// In each case pool and sequence are as before.
    pub fn append(&mut self, sequence: &mut Sequence, tokens: usize) -> Result<Append> {
        self.check(sequence)?;
        let start = sequence.len;
        let len = start.checked_add(tokens).filter(|&len| len <= MAX_LEN).ok_or_else(|| {
            let (max, got) = ((MAX_LEN - start) as i128, tokens as i128);
            Error::OutOfRange { arg: "tokens", min: 0, max, got }
        })?;
        let shared = sequence.blocks.last().copied().filter(|&block| {
            tokens > 0 && !start.is_multiple_of(BLOCK_SIZE) && self.holders[block as usize] > 1
        });
        let new_blocks = len.div_ceil(BLOCK_SIZE) - sequence.blocks.len();
        let requested = new_blocks + usize::from(shared.is_some());
        if requested > self.free.len() {
            return Err(Error::OutOfBlocks { requested, available: self.free.len() });
        }
        let copy = shared.and_then(|from| {
            let to = self.take()?;
            self.release(from);
            sequence.blocks.pop();
            sequence.blocks.push(to);
            Some(BlockCopy { from, to })
        });
        sequence.blocks.extend((0..new_blocks).filter_map(|_| self.take()));
        sequence.len = len;
        Ok(Append { positions: start..len, copy })
    }

    /// A second sequence with the same tokens, which shares all blocks of the first.
    ///
    /// # Errors
    /// [`Error::SequenceOfAnotherPool`].
    pub fn fork(&mut self, sequence: &Sequence) -> Result<Sequence> {
        self.check(sequence)?;
        for &block in &sequence.blocks {
            self.holders[block as usize] += 1;
        }
        Ok(Sequence { pool: self.id, len: sequence.len, blocks: sequence.blocks.clone() })
    }

    /// Forgets the tokens of `sequence` from `len` on.
    ///
    /// # Errors
    /// [`Error::BeyondSequence`] if it has fewer, [`Error::SequenceOfAnotherPool`].
    pub fn truncate(&mut self, sequence: &mut Sequence, len: usize) -> Result<()> {
        self.check(sequence)?;
        if len > sequence.len {
            return Err(Error::BeyondSequence { position: len, len: sequence.len });
        }
        for block in sequence.blocks.drain(len.div_ceil(BLOCK_SIZE)..).rev() {
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

    fn check(&self, sequence: &Sequence) -> Result<()> {
        if self.owns(sequence) {
            return Ok(());
        }
        Err(Error::SequenceOfAnotherPool { sequence: sequence.pool, pool: self.id })
    }

    fn take(&mut self) -> Option<i32> {
        let block = self.free.pop()?;
        self.holders[block as usize] = 1;
        Some(block)
    }

    fn release(&mut self, block: i32) {
        let holders = &mut self.holders[block as usize];
        *holders -= 1;
        if *holders == 0 {
            self.free.push(block);
        }
    }
}

/// Lengths travel to the kernels as `i32`.
const MAX_LEN: usize = i32::MAX as usize;
