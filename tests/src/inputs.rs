//! The tensors that a case attends with, on the host.
//!
//! Whatever attention must not read is poisoned: cache rows behind a request's last token and before all
//! windows, blocks that nobody uses and gaps between rows hold NaN, unused entries of the block table a huge id.

use rayon::prelude::*;

use crate::case::Case;
use crate::element::{ElementPool, NAN_BITS};
use crate::layout::{self, D_K, Layout};
use crate::random::{SplitMix64, hash};

/// What unused entries of the block table hold; as bytes of a cache, far outside any memory.
pub const UNUSED_ID: i32 = 2_147_480_000;

/// Cached tokens, and where they are.
#[derive(Clone, Debug)]
pub struct Cache {
    /// Tokens of each request.
    pub lengths: Vec<i32>,
    /// `[batch, max_blocks]`: ids in a random order.
    pub table: Vec<i32>,
    /// Width of the table: two more than the longest request needs.
    pub max_blocks: usize,
    /// `[blocks, block size, h_k, 576]`.
    pub layout: Layout<4>,
    /// The elements, by their bits.
    pub bits: Vec<u16>,
}

/// Queries.
#[derive(Clone, Debug)]
pub struct Queries {
    /// `[batch, s_q, h_q, 576]`.
    pub layout: Layout<4>,
    /// The elements, by their bits.
    pub bits: Vec<u16>,
}

impl Cache {
    /// The cache of `case`, with some blocks that nobody uses. Its seed decides the values, `order` where the
    /// blocks are.
    #[must_use]
    pub fn new(case: &Case, pool: &ElementPool, order: u64) -> Self {
        let lengths = case.lengths.draw(case.batch, case.seed);
        let used: usize = lengths.iter().map(|&length| blocks_of(case, length)).sum();
        Self::with_blocks(case, pool, order, used + used / 8 + 3)
    }

    /// The same, of `blocks` blocks, which must be enough.
    #[must_use]
    pub fn with_blocks(case: &Case, pool: &ElementPool, order: u64, blocks: usize) -> Self {
        let lengths = case.lengths.draw(case.batch, case.seed);
        let max_blocks =
            lengths.iter().map(|&length| blocks_of(case, length)).max().unwrap_or(0) + 2;

        let mut ids: Vec<i32> = (0..blocks as i32).collect();
        SplitMix64::new(order).shuffle(&mut ids);
        let mut ids = ids.into_iter();
        let mut table = vec![UNUSED_ID; case.batch * max_blocks];
        let mut users = vec![None; blocks];
        for (request, &length) in lengths.iter().enumerate() {
            for index in case.hidden(length) / case.block_size..blocks_of(case, length) {
                let id = ids.next().unwrap_or(UNUSED_ID);
                table[request * max_blocks + index] = id;
                users[id as usize] = Some((request, index));
            }
        }
        let layout = layout::cache(case, blocks);
        let mut cache = Self { lengths, table, max_blocks, layout, bits: Vec::new() };
        cache.fill(&users, pool, case);
        cache
    }

    fn fill(&mut self, users: &[Option<(usize, usize)>], pool: &ElementPool, case: &Case) {
        let Self { lengths, layout, bits, .. } = self;
        *bits = vec![0; layout.extent()];
        let blocks = bits.par_chunks_mut(layout.strides[0]).zip(users);
        blocks.for_each(|(block, user)| {
            block.fill(NAN_BITS);
            let Some((request, index)) = *user else { return };
            let first = index * case.block_size;
            let length = lengths[request];
            let rows = (length as usize - first).min(case.block_size);
            let hidden = case.hidden(length).saturating_sub(first);
            for (row, head) in
                (hidden..rows).flat_map(|row| (0..layout.shape[2]).map(move |head| (row, head)))
            {
                let token = ((request as u64) << 32) + (first + row) as u64;
                let key = hash(case.seed, (token << 6) + head as u64);
                let start = layout.offset([0, row, head, 0]);
                block[start..start + D_K].copy_from_slice(pool.window(key, D_K));
            }
        });
    }

    /// The row of a token in the cache, as one KV head sees it.
    #[must_use]
    pub fn row(&self, request: usize, token: usize, head: usize) -> &[u16] {
        let block_size = self.layout.shape[1];
        let id = self.table[request * self.max_blocks + token / block_size];
        let start = self.layout.offset([id as usize, token % block_size, head, 0]);
        &self.bits[start..start + D_K]
    }

    /// Blocks of the cache.
    #[must_use]
    pub const fn blocks(&self) -> usize {
        self.layout.shape[0]
    }
}

const fn blocks_of(case: &Case, length: i32) -> usize {
    (length as usize).div_ceil(case.block_size)
}

impl Queries {
    /// The queries of `case`.
    #[must_use]
    pub fn new(case: &Case, pool: &ElementPool) -> Self {
        let layout = layout::queries(case);
        let [_, s_q, h_q, _] = layout.shape;
        let mut bits = vec![0; layout.extent()];
        bits.par_chunks_mut(layout.strides[0]).enumerate().for_each(|(request, of_request)| {
            of_request.fill(NAN_BITS);
            for row in 0..s_q * h_q {
                let start = layout.offset([0, row / h_q, row % h_q, 0]);
                let key = hash(!case.seed, (request * s_q * h_q + row) as u64);
                of_request[start..start + D_K].copy_from_slice(pool.window(key, D_K));
            }
        });
        Self { layout, bits }
    }

    /// The query of one head of one token.
    #[must_use]
    pub fn row(&self, request: usize, token: usize, head: usize) -> &[u16] {
        let start = self.layout.offset([request, token, head, 0]);
        &self.bits[start..start + D_K]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Lengths, Views};

    fn case(views: Views) -> Case {
        let lengths = Lengths::Listed(vec![65, 0, 64]);
        Case { batch: 3, h_q: 4, h_k: 2, s_q: 2, lengths, views, ..Case::default() }
    }

    #[test]
    fn only_what_is_used_is_not_poisoned() {
        for views in [Views::Packed, Views::Strided] {
            let case = case(views);
            let pool = ElementPool::new(case.dtype);
            let cache = Cache::new(&case, &pool, 1);
            let finite = cache.bits.iter().filter(|&&bits| bits != NAN_BITS).count();
            assert_eq!(finite, (65 + 64) * 2 * D_K);
            let queries = Queries::new(&case, &pool);
            let finite = queries.bits.iter().filter(|&&bits| bits != NAN_BITS).count();
            assert_eq!(finite, 3 * 2 * 4 * D_K);
            assert_eq!(cache.table.iter().filter(|&&id| id == UNUSED_ID).count(), 12 - 3);
        }
    }

    #[test]
    fn what_is_before_all_windows_is_poisoned() {
        let case = Case { mask: oxmla::Mask::Causal.within(63), ..case(Views::Packed) };
        let cache = Cache::new(&case, &ElementPool::new(case.dtype), 1);
        let finite = cache.bits.iter().filter(|&&bits| bits != NAN_BITS).count();
        assert_eq!(finite, (64 + 64) * 2 * D_K);
        let case = Case { mask: oxmla::Mask::Causal.within(1), s_q: 1, ..case };
        let cache = Cache::new(&case, &ElementPool::new(case.dtype), 1);
        assert_eq!(cache.table[0], UNUSED_ID);
    }

    #[test]
    fn rows_do_not_depend_on_the_size_of_blocks() {
        let case = case(Views::Strided);
        let pool = ElementPool::new(case.dtype);
        let [one, other] = [64, 16].map(|block_size| {
            let case = Case { block_size, ..case.clone() };
            Cache::new(&case, &pool, 1)
        });
        assert_eq!(other.table.iter().filter(|&&id| id != UNUSED_ID).count(), 5 + 4);
        for token in 0..65 {
            assert_eq!(one.row(0, token, 1), other.row(0, token, 1));
        }
    }

    #[test]
    fn the_order_of_blocks_does_not_change_rows() {
        let case = case(Views::Packed);
        let pool = ElementPool::new(case.dtype);
        let [one, other] = [1, 2].map(|order| Cache::new(&case, &pool, order));
        assert_ne!(one.table, other.table);
        for token in 0..65 {
            assert_eq!(one.row(0, token, 1), other.row(0, token, 1));
        }
        assert_ne!(one.row(0, 0, 0), one.row(0, 0, 1));
        assert_ne!(one.row(0, 0, 0), one.row(2, 0, 0));
    }
}
