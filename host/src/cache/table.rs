//! The block table of a batch.

use super::layout::{BLOCK_SIZE, check_block_size};
use super::sequence::Sequence;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::{Location, TensorRef};

/// What an unused entry holds: a block id that no pool has, so that a wrong read cannot go unnoticed.
const UNUSED: i32 = i32::MAX;

/// Lengths and block ids of the requests of a batch, on the host: `lengths [batch] i32` and
/// `ids [batch, max_blocks] i32`. Entries behind a request's last block are never read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockTable {
    lengths: Vec<i32>,
    ids: Vec<i32>,
    max_blocks: usize,
}

impl BlockTable {
    /// The table of `sequences`, as wide as the longest of them needs.
    ///
    /// # Errors
    /// [`Error::SequenceOfAnotherPool`] if they do not all belong to one pool.
    pub fn from_sequences(sequences: &[&Sequence]) -> Result<Self> {
        let block_size = sequences.first().map_or(BLOCK_SIZE, |sequence| sequence.block_size);
        if let Some((first, rest)) = sequences.split_first()
            && let Some(other) = rest.iter().find(|sequence| sequence.pool != first.pool)
        {
            let (sequence, pool) = (other.pool, first.pool);
            return Err(Error::SequenceOfAnotherPool { sequence, pool });
        }
        let rows: Vec<_> = sequences.iter().map(|sequence| sequence.blocks()).collect();
        let lengths: Vec<_> = sequences.iter().map(|sequence| sequence.len() as i32).collect();
        Self::from_rows_of(block_size, &lengths, &rows)
    }

    /// The table of requests with `lengths` tokens in the blocks `rows`, of [`BLOCK_SIZE`] tokens each; as wide as the
    /// longest row.
    ///
    /// # Errors
    /// As for [`BlockTable::from_rows_of`].
    pub fn from_rows(lengths: &[i32], rows: &[&[i32]]) -> Result<Self> {
        Self::from_rows_of(BLOCK_SIZE, lengths, rows)
    }

    /// The same with blocks of `block_size` tokens.
    ///
    /// # Errors
    /// - [`Error::UnsupportedBlockSize`].
    /// - [`Error::ShapeMismatch`] if there is not one row per length.
    /// - [`Error::NegativeLength`].
    /// - [`Error::LengthBeyondTable`] if a row has too few blocks for its length.
    pub fn from_rows_of(block_size: usize, lengths: &[i32], rows: &[&[i32]]) -> Result<Self> {
        check_block_size(block_size)?;
        if rows.len() != lengths.len() {
            let (expected, got) = (lengths.len(), rows.len());
            return Err(Error::ShapeMismatch { arg: "rows", axis: "batch", expected, got });
        }
        let max_blocks = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(rows.len() * max_blocks);
        for (request, (&length, row)) in lengths.iter().zip(rows).enumerate() {
            checked_blocks(request, length, block_size, row.len())?;
            ids.extend_from_slice(row);
            ids.resize((request + 1) * max_blocks, UNUSED);
        }
        Ok(Self { lengths: lengths.to_vec(), ids, max_blocks })
    }

    /// Requests.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.lengths.len()
    }

    /// Blocks that a row has room for.
    #[must_use]
    pub const fn max_blocks(&self) -> usize {
        self.max_blocks
    }

    /// Tokens of each request: `[batch] i32`.
    #[must_use]
    pub fn lengths(&self) -> &[i32] {
        &self.lengths
    }

    /// The ids: `[batch, max_blocks] i32`, row by row.
    #[must_use]
    pub fn ids(&self) -> &[i32] {
        &self.ids
    }

    /// The ids as a tensor: `[batch, max_blocks] i32`.
    #[must_use]
    pub fn view(&self) -> TensorRef<'_> {
        let address = self.ids.as_ptr().expose_provenance() as u64;
        let shape = [self.batch(), self.max_blocks].into();
        TensorRef::contiguous(address, DType::I32, shape, Location::Host)
    }
}

/// Blocks of `block_size` tokens that hold the `length` tokens of `request`, of the `available` ones in its row of a table.
///
/// # Errors
/// [`Error::NegativeLength`], [`Error::LengthBeyondTable`].
pub(crate) fn checked_blocks(
    request: usize,
    length: i32,
    block_size: usize,
    available: usize,
) -> Result<usize> {
    let tokens =
        usize::try_from(length).map_err(|_| Error::NegativeLength { request, got: length })?;
    let blocks = tokens.div_ceil(block_size);
    if blocks > available {
        return Err(Error::LengthBeyondTable { request, length, blocks: available });
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::BlockPool;

    #[test]
    fn rows_are_padded_with_ids_that_no_pool_has() -> Result<()> {
        let table = BlockTable::from_rows(&[65, 0, 64], &[&[4, 2], &[], &[9]])?;
        assert_eq!((table.batch(), table.max_blocks()), (3, 2));
        assert_eq!(table.ids(), [4, 2, UNUSED, UNUSED, 9, UNUSED]);
        assert_eq!(**table.view().shape(), [3, 2]);
        Ok(())
    }

    #[test]
    fn rows_of_blocks_of_other_sizes() {
        let wide = BlockTable::from_rows_of(128, &[200], &[&[4, 2]]);
        assert_eq!(wide.map(|table| table.max_blocks()), Ok(2));
        let error = Error::LengthBeyondTable { request: 0, length: 17, blocks: 1 };
        assert_eq!(BlockTable::from_rows_of(16, &[17], &[&[0]]), Err(error));
        let error = Error::UnsupportedBlockSize { got: 24 };
        assert_eq!(BlockTable::from_rows_of(24, &[], &[]), Err(error));
    }

    #[test]
    fn bad_rows() {
        let error = Error::ShapeMismatch { arg: "rows", axis: "batch", expected: 1, got: 0 };
        assert_eq!(BlockTable::from_rows(&[1], &[]), Err(error));
        let error = Error::NegativeLength { request: 1, got: -3 };
        assert_eq!(BlockTable::from_rows(&[1, -3], &[&[0], &[1]]), Err(error));
        let error = Error::LengthBeyondTable { request: 0, length: 65, blocks: 1 };
        assert_eq!(BlockTable::from_rows(&[65], &[&[0]]), Err(error));
    }

    #[test]
    fn sequences_of_one_pool() -> Result<()> {
        let (mut pool, mut other) = (BlockPool::new(4)?, BlockPool::new(4)?);
        let (mut a, mut b) = (pool.sequence(), other.sequence());
        let _ = pool.append(&mut a, 70)?;
        let _ = other.append(&mut b, 1)?;
        let table = BlockTable::from_sequences(&[&a, &pool.sequence()])?;
        assert_eq!(table.lengths(), [70, 0]);
        assert_eq!(table.ids()[..2], *a.blocks());
        let refused = BlockTable::from_sequences(&[&a, &b]);
        assert!(matches!(refused, Err(Error::SequenceOfAnotherPool { .. })));
        Ok(())
    }
}
