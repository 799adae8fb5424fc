//! What host and device agree on for sparse attention.

use bytemuck::{Pod, Zeroable};

use crate::abi::DenseDecodeParams;
use crate::decode::schedule::{self, K_BLOCK};

/// Parameters of the sparse kernels. A query token with its lists of indices is what a request is to the dense kernels:
/// `q [tokens, h_q, d_qk]`, `out [tokens, h_q, 512]`, `lse [tokens, h_q]`.
///
/// Zero stands for the address of what is not given.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct SparseParams {
    /// Results, partial results, and how the tokens are divided among the parts: `s_q` is 1, `batch` counts query tokens,
    /// `lengths` and `block_table` are not used.
    pub decode: DenseDecodeParams,
    /// What is attended to.
    pub list: List,
    /// What is attended to in the second cache, behind that.
    pub extra: List,
    /// `*const f32 [h_q]`: a score for each head that has no value.
    pub sink: u64,
    /// `*mut f32`: largest scaled score of each row.
    pub max_logits: u64,
    /// Stride of `max_logits` along query tokens, in elements.
    pub max_logits_stride_token: u64,
    /// Stride of `max_logits` along heads, in elements.
    pub max_logits_stride_head: u64,
}

/// A cache, and for each query token a list of its tokens.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct List {
    /// The first row of the first block.
    pub rows: u64,
    /// Bytes from one block to the next.
    pub block_stride: u64,
    /// Bytes from one row of a block to the next.
    pub row_stride: u64,
    /// `*const i32 [tokens, topk]`: rows, counted through all blocks.
    pub indices: u64,
    /// `*const i32 [tokens]`: how many of its indices count for each query token.
    pub lengths: u64,
    /// Elements from the indices of one query token to those of the next.
    pub indices_stride: u64,
    /// Rows of a block: 1 or more.
    pub block_size: u32,
    /// Rows in all, at most 2^31: an index that is not below it names nothing.
    pub row_count: u32,
    /// Indices of a query token.
    pub topk: u32,
    /// Nothing.
    pub reserved: u32,
}

/// Length of a query token's list and of that into the second cache together, as the schedule counts: the second begins
/// with a block of its own.
#[must_use]
#[inline(always)]
pub const fn listed_tokens(length: u32, extra: u32) -> i32 {
    let before = if extra == 0 { length } else { schedule::blocks(length as i32) * K_BLOCK };
    (before + extra) as i32
}

const _: () = assert!(size_of::<List>() == 6 * 8 + 4 * 4);
const _: () = assert!(size_of::<SparseParams>() == size_of::<DenseDecodeParams>() + 2 * 64 + 4 * 8);

#[cfg(test)]
mod tests {
    use super::listed_tokens;

    #[test]
    fn the_second_list_begins_with_a_block() {
        assert_eq!(listed_tokens(100, 0), 100);
        assert_eq!(listed_tokens(100, 1), 129);
        assert_eq!(listed_tokens(128, 3), 131);
        assert_eq!(listed_tokens(0, 70), 70);
        assert_eq!(listed_tokens(0, 0), 0);
    }
}
