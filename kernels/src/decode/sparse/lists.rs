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
    (length.max(0) as u32).min(list.topk)
}

/// How many indices of a query token's two lists count.
///
/// # Safety
/// All lanes of a warp call it, converged; the query token is one of the batch.
#[inline(always)]
pub unsafe fn counts(params: &SparseParams, request: u32) -> [u32; 2] {
    // SAFETY: the caller's promise.
    let count = |list| warp::broadcast(unsafe { of_list(list, request) }, 0);
    [count(&params.list), count(&params.extra)]
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
    params: &'a SparseParams,
    /// Whether it is of the second list.
    is_extra: bool,
    /// Its first index in the block.
    indices: *const i32,
    /// How many indices count from there on.
    count: u32,
}

impl<'a> Lists<'a> {
    /// Those of `request`, of which so many indices count.
    #[inline(always)]
    pub const fn new(params: &'a SparseParams, request: u32, counts: [u32; 2]) -> Self {
        Self { params, request, counts }
    }

    /// What block `block` is made of: the second list begins with a block of its own.
    #[inline(always)]
    pub fn section(&self, block: u32) -> Section<'a> {
        let before = schedule::blocks(self.counts[0] as i32);
        let is_extra = block >= before;
        let first = TILE * if is_extra { block - before } else { block };
        let count = if is_extra { self.counts[1] } else { self.counts[0] }.saturating_sub(first);
        let mut section =
            Section { params: self.params, is_extra, indices: core::ptr::null(), count };
        let row = u64::from(self.request) * section.of(|list| list.indices_stride);
        let indices = section.of(|list| list.indices) as *const i32;
        section.indices = indices.wrapping_add((row + u64::from(first)) as usize);
        section
    }
}

/// What stands for an index that does not count: it names nothing in any cache.
const NOTHING: i32 = -1;

impl Section<'_> {
    /// A number of the list: chosen by value, for a choice between references would bring the parameters into local memory.
    #[inline(always)]
    fn of<T>(&self, number: impl Fn(&List) -> T) -> T {
        let [list, extra] = [&self.params.list, &self.params.extra].map(number);
        if self.is_extra { extra } else { list }
    }

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

    /// The index of token `token`, or the last that counts: to be looked at by [`Section::counted`] when it is there, so
    /// that nobody waits for it before.
    ///
    /// # Safety
    /// The list is readable, and an index counts.
    #[inline(always)]
    pub unsafe fn load(&self, token: u32) -> i32 {
        let token = token.min(self.count - 1);
        // SAFETY: an index that counts.
        unsafe { global::load_i32(self.indices.add(token as usize)) }
    }

    /// What has been loaded for token `token`.
    #[inline(always)]
    pub fn counted(&self, token: u32, index: i32) -> i32 {
        if token < self.count { index } else { NOTHING }
    }

    /// Whether `index` names a row.
    #[inline(always)]
    pub fn names(&self, index: i32) -> bool {
        (index as u32) < self.of(|list| list.row_count)
    }

    /// Where the row begins that `index` names; the first row, if it names none.
    #[inline(always)]
    pub fn row(&self, index: i32) -> u64 {
        let index = if self.names(index) { index as u32 } else { 0 };
        // As the launcher promises; and so there is no check of what is divided by.
        let size = self.of(|list| list.block_size).max(1);
        self.of(|list| list.rows)
            + u64::from(index / size) * self.of(|list| list.block_stride)
            + u64::from(index % size) * self.of(|list| list.row_stride)
    }

    /// Where the block begins that has the row that `index` names, and which of its rows that is; the first row, if `index`
    /// names none.
    #[inline(always)]
    pub fn place(&self, index: i32) -> (u64, u32) {
        let index = if self.names(index) { index as u32 } else { 0 };
        let size = self.block_size();
        let block = u64::from(index / size) * self.of(|list| list.block_stride);
        (self.cache() + block, index % size)
    }

    /// Where the cache begins.
    #[inline(always)]
    pub fn cache(&self) -> u64 {
        self.of(|list| list.rows)
    }

    /// Rows of a block: 1 or more, as the launcher promises, and the compiler knows it here.
    #[inline(always)]
    pub fn block_size(&self) -> u32 {
        self.of(|list| list.block_size).max(1)
    }
}
