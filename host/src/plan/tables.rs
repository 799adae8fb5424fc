//! Lengths and block ids of a step, as the kernels read them.

use std::ops::Range;
use std::{ptr, slice};

use super::schedule::Reach;
use super::step::Step;
use crate::cache::checked_blocks;
use crate::check;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::{Location, TensorRef};

/// `lengths i32 [max_batch]`, then `ids i32 [max_batch, max_blocks]`: one piece of memory, so that one copy
/// brings a step to a GPU. Where each request's row is does not depend on the step, so that a captured graph
/// finds it again.
#[derive(Debug)]
pub(crate) struct Tables {
    values: Vec<i32>,
    max_batch: usize,
    max_blocks: usize,
}

impl Tables {
    /// Tables of empty requests.
    pub fn new(max_batch: usize, max_blocks: usize) -> Result<Self> {
        let len = max_blocks.checked_add(1).and_then(|row| row.checked_mul(max_batch));
        let len = len.ok_or(Error::SizeOverflow { what: "block table" })?;
        let mut values = Vec::new();
        values.try_reserve_exact(len).map_err(|_| {
            let bytes = len.saturating_mul(size_of::<i32>());
            Error::OutOfMemory { device: "the host".into(), bytes }
        })?;
        values.resize(len, 0);
        Ok(Self { values, max_batch, max_blocks })
    }

    /// Takes over a step that [`check`] has accepted.
    pub fn set(&mut self, step: &Step<'_>, block_size: usize) {
        for (request, &length) in step.lengths.iter().enumerate() {
            self.values[request] = length;
            let first = self.max_batch + request * self.max_blocks;
            let Range { start, end } = seen(step.reach(), length, block_size);
            let ids = &mut self.values[first..first + end];
            // Blocks that a window has left behind may have no id; what is here is that of a block.
            ids[..start].fill(0);
            match contiguous_row(&step.block_table, request, start..end) {
                Some(row) => ids[start..].copy_from_slice(row),
                None => {
                    for (index, id) in ids.iter_mut().enumerate().skip(start) {
                        *id = id_at(&step.block_table, request, index);
                    }
                }
            }
        }
    }

    /// Lengths of the first `batch` requests.
    pub fn lengths(&self, batch: usize) -> &[i32] {
        &self.values[..batch]
    }

    /// Block ids of a request.
    pub fn ids(&self, request: usize) -> &[i32] {
        let row = self.max_batch + request * self.max_blocks;
        &self.values[row..row + self.max_blocks]
    }

    /// Everything that concerns the first `batch` requests.
    #[cfg(feature = "cuda")]
    pub fn bytes(&self, batch: usize) -> &[u8] {
        bytemuck::cast_slice(&self.values[..self.max_batch + batch * self.max_blocks])
    }

    /// Where the lengths begin on the host.
    pub fn address(&self) -> u64 {
        self.values.as_ptr().expose_provenance() as u64
    }

    /// Where the block ids begin, in bytes.
    pub const fn ids_offset(&self) -> u64 {
        (self.max_batch * size_of::<i32>()) as u64
    }

    /// Bytes in all.
    pub fn byte_len(&self) -> usize {
        self.values.len() * size_of::<i32>()
    }
}

/// Refuses lengths that the table has no room for, and ids that no block of the cache has.
pub(super) fn check_ids(step: &Step<'_>, block_size: usize, blocks_in_cache: usize) -> Result<()> {
    let columns = step.block_table.shape()[1];
    for (request, &length) in step.lengths.iter().enumerate() {
        checked_blocks(request, length, block_size, columns)?;
        let used = seen(step.reach(), length, block_size);
        // Taken as unsigned, a negative id is larger than any. The largest of a row is found eight ids at a time.
        let row = contiguous_row(&step.block_table, request, used.clone());
        let largest = row.map(|row| row.iter().fold(0, |most, &id| most.max(id as u32)));
        if largest.is_some_and(|largest| (largest as usize) < blocks_in_cache) {
            continue;
        }
        for index in used {
            let id = id_at(&step.block_table, request, index);
            if !usize::try_from(id).is_ok_and(|id| id < blocks_in_cache) {
                return Err(Error::BlockOutOfPool { request, index, id, blocks: blocks_in_cache });
            }
        }
    }
    Ok(())
}

/// Refuses a table that is not `[batch, …] i32`, readable from here.
pub(super) fn check_table(table: &TensorRef<'_>, batch: usize) -> Result<()> {
    const ARG: &str = "block_table";
    check::location(ARG, table.location(), Location::Host)?;
    check::dtype(ARG, table.dtype(), DType::I32)?;
    check::rank(ARG, table.shape(), 2)?;
    check::axis(ARG, "batch", table.shape()[0], batch)?;
    check::alignment(ARG, table.address(), DType::I32.size())
}

/// Blocks of `block_size` tokens of a request of `length` tokens, those that some query token sees.
fn seen(reach: Reach, length: i32, block_size: usize) -> Range<usize> {
    reach.hidden(length) as usize / block_size..(length as usize).div_ceil(block_size)
}

/// The ids of some blocks in a row of a table that [`check_table`] has accepted, if they are side by side.
fn contiguous_row<'a>(
    table: &TensorRef<'a>,
    request: usize,
    blocks: Range<usize>,
) -> Option<&'a [i32]> {
    if table.strides()[1] != 1 || blocks.is_empty() {
        return None;
    }
    let first: *const i32 = ptr::with_exposed_provenance(table.address_at([request, blocks.start]));
    // SAFETY: aligned `i32` of a view of host memory, inside its shape.
    Some(unsafe { slice::from_raw_parts(first, blocks.len()) })
}

/// The id in a row of a table that [`check_table`] has accepted.
fn id_at(table: &TensorRef<'_>, request: usize, index: usize) -> i32 {
    let id: *const i32 = ptr::with_exposed_provenance(table.address_at([request, index]));
    // SAFETY: an aligned `i32` of a view of host memory, inside its shape.
    unsafe { id.read() }
}
