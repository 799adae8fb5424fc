//! The tile rows of a CTA and what each of them sees.

use crate::abi::{DenseDecodeParams, Reach, Rows};
use crate::ptx::special;

/// Up to 64 query rows that a CTA computes together.
#[derive(Clone, Copy)]
pub struct Tile {
    /// Index of the tile among all tiles: `blockIdx.x`.
    pub index: u32,
    /// List of rows that the tile is cut from.
    pub group: u32,
    /// First row in the list.
    pub first_row: u32,
    packing: Rows,
    causal: bool,
    reach: Reach,
}

impl Tile {
    /// Tile `index` of the launch.
    #[inline(always)]
    pub fn new(params: &DenseDecodeParams, index: u32) -> Self {
        let packing = params.rows;
        let group = index / packing.tiles_per_group;
        let first_row = index % packing.tiles_per_group * 64;
        let (causal, reach) = (params.causal != 0, params.reach);
        Self { index, group, first_row, packing, causal, reach }
    }

    /// KV head that all rows of the tile attend to.
    #[inline(always)]
    pub fn kv_head(&self) -> u32 {
        self.packing.kv_head(self.group)
    }

    /// Whether row `row` of the tile exists; the rest of the last tile is padding.
    #[inline(always)]
    pub fn contains(&self, row: u32) -> bool {
        self.first_row + row < self.packing.rows
    }

    /// Rows that exist.
    #[inline(always)]
    pub fn count(&self) -> u32 {
        (self.packing.rows - self.first_row).min(64)
    }

    /// Query token of row `row` of the tile.
    #[inline(always)]
    pub fn token(&self, row: u32) -> u32 {
        self.packing.token(self.group, self.first_row + row)
    }

    /// Query head of row `row` of the tile.
    #[inline(always)]
    pub fn head(&self, row: u32) -> u32 {
        self.packing.head(self.group, self.first_row + row)
    }

    /// How many cached tokens at the end of a request row `row` of the tile does not see: with a causal mask, the
    /// last query token sees all of them and each token before it one less.
    #[inline(always)]
    pub fn hidden(&self, row: u32) -> i32 {
        if self.causal { self.later_tokens(row) } else { 0 }
    }

    /// Query tokens of the request behind that of row `row` of the tile: none behind padding.
    #[inline(always)]
    pub fn later_tokens(&self, row: u32) -> i32 {
        (self.packing.s_q as i32 - 1 - self.token(row) as i32).max(0)
    }

    /// Whether a row does not see what comes after its query token.
    #[inline(always)]
    pub fn causal(&self) -> bool {
        self.causal
    }

    /// Tokens that a query token sees up to its own, its own included; 2^31 or more without a window.
    #[inline(always)]
    pub fn window(&self) -> u32 {
        self.reach.0 - (self.packing.s_q - 1)
    }
}

/// The first of the 16 rows that a warp of a warpgroup holds.
#[inline(always)]
pub fn first_row_of_warp() -> u32 {
    special::thread_index() % 128 / 32 * 16
}

/// The two rows of a 64-row accumulator tile that a thread of a warpgroup holds.
#[inline(always)]
pub fn fragment_rows() -> [u32; 2] {
    let row = first_row_of_warp() + special::lane() / 4;
    [row, row + 8]
}

/// The first column of each group of eight that a thread holds; the second is next to it.
#[inline(always)]
pub fn fragment_column() -> u32 {
    special::lane() % 4 * 2
}
