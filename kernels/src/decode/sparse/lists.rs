//! Lists of indices, and the rows that they name.

use super::abi::{List, SparseParams, listed_tokens};
use crate::decode::dense::config::TILE;
use crate::decode::schedule;
use crate::ptx::{global, warp};

/// Length of a query token's list and of that into the second cache together, as [`listed_tokens`] counts.
///
/// # Safety
/// The query token is one of the batch.
#[inline(always)]
pub unsafe fn length(params: &SparseParams, request: u32) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { listed_tokens(of_list(&params.list, request), of_list(&params.extra, request)) }
}

/// How many of a query token's indices count: what its length says, from 0 to all of them.
#[inline(always)]
unsafe fn of_list(list: &List, request: u32) -> u32 {
    if list.lengths == 0 {
        return list.topk;
    }
    // SAFETY: the caller's promise.
    let length = unsafe { global::load_i32((list.lengths as *const i32).add(request as usize)) };
    // Not `clamp`, which panics if the bounds are the wrong way round: lanes may not leave on their own.
    length.min(list.topk as i32).max(0) as u32
}

/// The two lists of a query token, one behind the other. All lanes of a warp have the same.
pub struct Lists<'a> {
    params: &'a SparseParams,
    request: u32,
    /// How many indices of each count.
    counts: [u32; 2],
}

/// The part of a list that a block is made of.
pub struct Section<'a> {
    /// The list.
    pub list: &'a List,
    /// Its first index in the block.
    indices: *const i32,
    /// How many indices count from there on.
    count: u32,
}

impl<'a> Lists<'a> {
    /// Those of `request`.
    ///
    /// # Safety
    /// All lanes of a warp call it, converged; the query token is one of the batch.
    #[inline(always)]
    pub unsafe fn new(params: &'a SparseParams, request: u32) -> Self {
        // SAFETY: the caller's promise.
        let count = |list| warp::broadcast(unsafe { of_list(list, request) }, 0);
        Self { params, request, counts: [count(&params.list), count(&params.extra)] }
    }

    /// What block `block` is made of: the second list begins with a block of its own.
    #[inline(always)]
    pub fn section(&self, block: u32) -> Section<'a> {
        let blocks = schedule::blocks(self.counts[0] as i32);
        if block < blocks {
            self.section_of(&self.params.list, self.counts[0], block)
        } else {
            self.section_of(&self.params.extra, self.counts[1], block - blocks)
        }
    }

    #[inline(always)]
    fn section_of(&self, list: &'a List, count: u32, block: u32) -> Section<'a> {
        let first = block * TILE;
        let row = u64::from(self.request) * list.indices_stride + u64::from(first);
        let indices = (list.indices as *const i32).wrapping_add(row as usize);
        Section { list, indices, count: count.saturating_sub(first) }
    }
}

/// What stands for an index that does not count: it names nothing in any cache.
const NOTHING: i32 = -1;

impl Section<'_> {
    /// The index of token `token` of the block.
    ///
    /// # Safety
    /// The list is readable.
    #[inline(always)]
    pub unsafe fn index(&self, token: u32) -> i32 {
        if token >= self.count {
            return NOTHING;
        }
        // SAFETY: an index that counts.
        unsafe { global::load_i32(self.indices.add(token as usize)) }
    }
}

impl List {
    /// Whether `index` names a row.
    #[inline(always)]
    pub fn names(&self, index: i32) -> bool {
        (index as u32) < self.row_count
    }

    /// The row that `index` names, if it does.
    #[inline(always)]
    pub fn row(&self, index: i32) -> Row {
        let index = index as u32;
        if index >= self.row_count {
            return Row { address: self.rows, bytes: 0 };
        }
        let (block, place) = (index / self.block_size, index % self.block_size);
        let offset = u64::from(block) * self.block_stride + u64::from(place) * self.row_stride;
        Row { address: self.rows + offset, bytes: 16 }
    }
}

/// A row to copy.
#[derive(Clone, Copy)]
pub struct Row {
    /// Where it begins; where the first row begins, if there is nothing to copy.
    pub address: u64,
    /// Bytes of every 16 to copy: all, or none.
    pub bytes: u32,
}
