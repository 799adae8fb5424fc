//! What host and device agree on byte by byte.
//!
//! Pointers travel as `u64` device addresses, so that every struct here is plain data on both sides.

use bytemuck::{Pod, Zeroable};

/// Parameters of the dense decode kernels.
///
/// Shapes: `q [batch, s_q, h_q, 576]`, `out [batch, s_q, h_q, 512]`, `lse [batch, h_q, s_q]`. A *tile
/// row* is one (query token, head) pair. Query rows are packed into `groups` independent lists of
/// `rows` rows each, cut into tiles of 64: with one KV head there is one group of `s_q · h_q` rows; with
/// several, one group per (query token, KV head), of `h_q / h_k` rows (see [`Rows`]).
///
/// Strides are in elements. `lse` and `partial_lse` are f32; `partial_lse` is in base 2.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct DenseDecodeParams {
    /// `*const i32 [batch]`: cached tokens of each request.
    pub lengths: u64,
    /// `*const i32 [batch, table_stride]`: block ids; of the first `ceil(length / block size)` those that hold tokens
    /// within `reach` are used.
    pub block_table: u64,
    /// `*mut bf16 | f16`: the output.
    pub out: u64,
    /// `*mut f32`: natural-log sum of exponentials, −∞ where a row sees no token.
    pub lse: u64,
    /// `*mut bf16 | f16 [slots, tiles, 32 pairs of chunks, 128 threads, 8]`: normalised partial outputs of split
    /// requests, in the order in which a warpgroup holds them. As many slots as
    /// [`crate::decode::schedule::Schedule::slots`] says.
    pub partial_out: u64,
    /// `*mut f32 [slots, tiles, 64]`: their log2-sum-exp2.
    pub partial_lse: u64,
    /// `*mut u32 [batch, tiles]`: how much of a split request is there to be merged; all zero between launches.
    pub arrivals: u64,
    /// Stride of `out` along batch.
    pub out_stride_batch: u64,
    /// Stride of `out` along query tokens.
    pub out_stride_token: u64,
    /// Stride of `out` along heads.
    pub out_stride_head: u64,
    /// Stride of `lse` along batch.
    pub lse_stride_batch: u64,
    /// Stride of `lse` along heads; query tokens are contiguous.
    pub lse_stride_head: u64,
    /// Stride of `block_table` along batch.
    pub table_stride: u32,
    /// Requests.
    pub batch: u32,
    /// CTAs that share the tokens of one tile's KV head; `gridDim.y`.
    pub parts: u32,
    /// How query rows are packed.
    pub rows: Rows,
    /// 1 when query token `i` sees only the first `length − (s_q − 1 − i)` tokens, else 0.
    pub causal: u32,
    /// By what scores are multiplied to be powers of two: `softmax_scale · log2(e)`, or `cap · log2(e)` if they are
    /// capped.
    pub scale_log2: f32,
    /// How the cached tokens are divided among the parts.
    pub cut: Cut,
    /// What query tokens see.
    pub reach: Reach,
    /// By what scores are multiplied before their hyperbolic tangent is taken, `softmax_scale / cap`; 0 if they are not
    /// capped.
    pub softcap: f32,
    /// How the cached tokens lie in blocks.
    pub paging: Paging,
}

impl DenseDecodeParams {
    /// Whether the step has a window or a soft cap: what the kernels for limited scores are for.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.reach != Reach::ALL || self.softcap != 0.0
    }
}

/// What [`crate::decode::schedule`] divides a batch by.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Cut {
    /// What beginning a request costs beside its blocks, in blocks.
    pub visit_cost: u32,
    /// Base-2 logarithm of the blocks of a unit.
    pub unit_log2: u32,
    /// 1 to make every unit of a request a piece of its own, whatever else is in the batch; 0 to give every part
    /// the same share.
    pub fixed: u32,
}

/// How many tokens at the end of a request any query token sees, later ones included: the window and `s_q − 1`, or
/// [`u32::MAX`] without a window. Blocks before them do not count, and are not looked at.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Reach(pub u32);

/// How the tokens of a request lie in blocks of the cache, of 16, 32, 64 or 128 tokens.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Paging {
    /// Base-2 logarithm of the tokens of a block.
    pub block_log2: u32,
    /// Tokens of a box: what a block has of a K block of 64 tokens.
    pub box_rows: u32,
}

impl Paging {
    /// Blocks of 2^`block_log2` tokens.
    #[must_use]
    pub const fn new(block_log2: u32) -> Self {
        Self { block_log2, box_rows: 1 << if block_log2 < 6 { block_log2 } else { 6 } }
    }

    /// Tokens of a block.
    #[must_use]
    pub const fn block_size(&self) -> u32 {
        1 << self.block_log2
    }
}

/// Packing of (query token, head) pairs into the M dimension of the tensor-core tiles.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Rows {
    /// Query tokens per request.
    pub s_q: u32,
    /// KV heads.
    pub h_k: u32,
    /// Query heads per KV head, `h_q / h_k`.
    pub group_heads: u32,
    /// Independent lists of rows: 1 with one KV head, else `s_q · h_k`.
    pub groups: u32,
    /// Rows in each list.
    pub rows: u32,
    /// Tiles of 64 rows in each list.
    pub tiles_per_group: u32,
}

impl Rows {
    /// Packs `h_q` heads of `s_q` query tokens over `h_k` KV heads; `h_k` divides `h_q`.
    #[must_use]
    pub const fn pack(s_q: u32, h_q: u32, h_k: u32) -> Self {
        let group_heads = h_q / h_k;
        let (groups, rows) = if h_k == 1 { (1, s_q * h_q) } else { (s_q * h_k, group_heads) };
        Self { s_q, h_k, group_heads, groups, rows, tiles_per_group: rows.div_ceil(64) }
    }

    /// Tiles in all: `gridDim.x` of the decode kernels.
    #[must_use]
    pub const fn tiles(&self) -> u32 {
        self.groups * self.tiles_per_group
    }

    /// Rows of a full tile: 64, or all rows of a list if they are fewer.
    #[must_use]
    pub const fn rows_per_tile(&self) -> u32 {
        if self.rows < 64 { self.rows } else { 64 }
    }

    /// The KV head that the rows of `group` attend to.
    #[must_use]
    pub const fn kv_head(&self, group: u32) -> u32 {
        group % self.h_k
    }

    /// The query token of row `row` in `group`.
    #[must_use]
    pub const fn token(&self, group: u32, row: u32) -> u32 {
        group / self.h_k + row / self.group_heads
    }

    /// The query head of row `row` in `group`.
    #[must_use]
    pub const fn head(&self, group: u32, row: u32) -> u32 {
        self.kv_head(group) * self.group_heads + row % self.group_heads
    }
}

const _: () = assert!(size_of::<DenseDecodeParams>() == 12 * 8 + 18 * 4);

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::{DenseDecodeParams, Reach, Rows};

    #[test]
    fn a_window_or_a_soft_cap_limits_a_step() {
        let plain = DenseDecodeParams { reach: Reach::ALL, ..DenseDecodeParams::zeroed() };
        assert!(!plain.is_limited());
        assert!(DenseDecodeParams { softcap: 0.01, ..plain }.is_limited());
        assert!(DenseDecodeParams { reach: Reach::behind(4096, 1), ..plain }.is_limited());
    }

    /// Every (token, head) pair is packed exactly once, whatever the number of KV heads.
    #[test]
    fn packing_covers_every_query_row_once() {
        for (s_q, h_q, h_k) in [(1, 1, 1), (2, 128, 1), (4, 9, 3), (3, 64, 8), (1, 126, 2)] {
            let rows = Rows::pack(s_q, h_q, h_k);
            let mut seen = [0u8; 4 * 128];
            for group in 0..rows.groups {
                for row in 0..rows.rows {
                    let (token, head) = (rows.token(group, row), rows.head(group, row));
                    assert!(token < s_q && head < h_q);
                    assert_eq!(rows.kv_head(group), head / (h_q / h_k));
                    seen[(token * h_q + head) as usize] += 1;
                }
            }
            assert!(seen[..(s_q * h_q) as usize].iter().all(|&n| n == 1));
        }
    }
}
