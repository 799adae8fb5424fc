//! The tiles of a product, and who computes what of them: pure, for the device and the host.

use super::abi::Shape;
use super::config::{COLUMNS, TILE, WEIGHT_TILES};

/// Row tiles that are side by side in the order of the tiles. 132 CTAs at a time then work on about 8 · 16 of them,
/// which need as many rows of `x` as of the weight: least traffic from the L2, and from memory.
const GROUP: u32 = 8;

/// Tiles of `rows` × 128 outputs for each CTA of a cluster, each in `splits` shares of its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    rows: u32,
    columns: u32,
    row_tiles: u32,
    column_tiles: u32,
    count: u32,
    splits: u32,
    blocks: u32,
    outputs: u32,
}

/// A share of a tile: what a cluster computes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Index of the tile.
    pub tile: u32,
    /// Index of the share in its tile.
    pub split: u32,
    /// Index of the product.
    pub batch: u32,
    /// First row of `x` and `y`.
    pub row: u32,
    /// First row of the weight, first column of `y`.
    pub column: u32,
    /// First block of 64 inputs.
    pub block: u32,
    /// The first block that is not of this share.
    pub end: u32,
}

impl Tiles {
    /// Tiles of `rows` rows, and of 128 columns for each of the `cluster` CTAs that compute a tile together.
    #[must_use]
    #[inline(always)]
    pub const fn new(shape: &Shape, [rows, cluster]: [u32; 2], splits: u32) -> Self {
        let columns = cluster * COLUMNS;
        let (row_tiles, column_tiles) = (shape.m.div_ceil(rows), shape.n.div_ceil(columns));
        let (count, blocks) = (shape.batch * row_tiles * column_tiles, shape.k.div_ceil(TILE));
        Self { rows, columns, row_tiles, column_tiles, count, splits, blocks, outputs: shape.n }
    }

    /// Tiles of all products.
    #[must_use]
    #[inline(always)]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Shares of all tiles.
    #[must_use]
    #[inline(always)]
    pub const fn items(&self) -> u32 {
        self.count * self.splits
    }

    /// Blocks of 64 inputs of a whole tile.
    #[must_use]
    #[inline(always)]
    pub const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Whether every element of the weight is read by one CTA alone.
    #[must_use]
    #[inline(always)]
    pub const fn reads_weight_once(&self) -> bool {
        self.row_tiles == 1
    }

    /// Tiles of 64 rows of the weight that a CTA needs whose outputs begin with `column`: none for outputs that there are
    /// not, whose zeros would take the time of others.
    #[must_use]
    #[inline(always)]
    pub const fn weight_tiles(&self, column: u32) -> u32 {
        let tiles = self.outputs.saturating_sub(column).div_ceil(TILE);
        if tiles < WEIGHT_TILES { tiles } else { WEIGHT_TILES }
    }

    /// Share number `index`.
    #[must_use]
    #[inline(always)]
    pub const fn item(&self, index: u32) -> Item {
        let (tile, split) = (index / self.splits, index % self.splits);
        let of_product = self.row_tiles * self.column_tiles;
        let (batch, tile_of_product) = (tile / of_product, tile % of_product);
        let of_group = GROUP * self.column_tiles;
        let first = tile_of_product / of_group * GROUP;
        let in_group = tile_of_product % of_group;
        let left = self.row_tiles - first;
        let width = if left < GROUP { left } else { GROUP };
        Item {
            tile,
            split,
            batch,
            row: (first + in_group % width) * self.rows,
            column: in_group / width * self.columns,
            block: self.blocks * split / self.splits,
            end: self.blocks * (split + 1) / self.splits,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use super::*;

    /// The shares of a tile are all of its blocks, none is empty, and every tile is there once.
    #[test]
    fn every_block_of_every_tile_is_computed_once() {
        for (shape, rows, splits) in [
            (Shape { batch: 1, m: 1, n: 8, k: 8 }, [64, 1], 1),
            (Shape { batch: 3, m: 65, n: 136, k: 200 }, [64, 1], 4),
            (Shape { batch: 1, m: 4096, n: 576, k: 7168 }, [256, 2], 1),
            (Shape { batch: 2, m: 2700, n: 300, k: 64 * 7 }, [128, 1], 3),
        ] {
            let tiles = Tiles::new(&shape, rows, splits);
            let mut seen = BTreeMap::<_, Vec<u32>>::new();
            for index in 0..tiles.items() {
                let item = tiles.item(index);
                assert!(item.batch < shape.batch && item.row < shape.m && item.column < shape.n);
                assert!(item.block < item.end && item.tile < tiles.count());
                let blocks = seen.entry((item.batch, item.row, item.column)).or_default();
                blocks.extend(item.block..item.end);
            }
            assert_eq!(seen.len() as u32, tiles.count());
            let all: Vec<u32> = (0..tiles.blocks()).collect();
            assert!(seen.values().all(|blocks| *blocks == all));
        }
    }
}
