//! Which kernel a product takes, and how many CTAs.

use super::abi::Shape;
use super::config::{COLUMNS, TILE};
use super::tiles::Tiles;

/// Rows of `x` in a tile of each kernel, and CTAs of a cluster, each with 128 outputs of the tile.
pub const WIDTHS: [[u32; 2]; 5] = [[64, 1], [128, 1], [256, 1], [192, 2], [256, 2]];

/// How a product is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Rows of `x` in a tile, and CTAs that compute one together: one of [`WIDTHS`].
    pub width: [u32; 2],
    /// CTAs that share the inputs of a tile; 1 in clusters.
    pub splits: u32,
    /// CTAs: `gridDim.x`.
    pub ctas: u32,
}

impl Tiling {
    /// The cut that [`nanoseconds`] says is fastest on a GPU of so many multiprocessors; `None` if the shape has more
    /// tiles than an index counts, or a size is 0. Of equals, the first of [`WIDTHS`] with the fewest splits.
    #[must_use]
    pub const fn choose(shape: &Shape, multiprocessors: u32) -> Option<Self> {
        if !is_countable(shape) {
            return None;
        }
        let mut best = Self::new(shape, WIDTHS[0], 1, multiprocessors);
        let mut least = u64::MAX;
        let mut i = 0;
        while i < WIDTHS.len() && multiprocessors >= WIDTHS[i][1] {
            let mut splits = 1;
            while splits <= most_splits(shape, WIDTHS[i], multiprocessors) {
                let tiling = Self::new(shape, WIDTHS[i], splits, multiprocessors);
                let time = nanoseconds(shape, &tiling, multiprocessors);
                if time < least {
                    least = time;
                    best = tiling;
                }
                splits += 1;
            }
            i += 1;
        }
        Some(best)
    }

    /// The cut into tiles of a width and `splits` shares.
    #[must_use]
    pub const fn new(shape: &Shape, width: [u32; 2], splits: u32, multiprocessors: u32) -> Self {
        let (items, clusters) =
            (Tiles::new(shape, width, splits).items(), multiprocessors / width[1]);
        let ctas = if items < clusters { items } else { clusters } * width[1];
        Self { width, splits, ctas }
    }

    /// Index of the kernel among those of a type, [`crate::launch::GEMM_BF16`] or [`crate::launch::GEMM_F16`].
    #[must_use]
    pub const fn kernel(&self) -> usize {
        let mut i = 0;
        while i + 1 < WIDTHS.len()
            && (WIDTHS[i][0] != self.width[0] || WIDTHS[i][1] != self.width[1])
        {
            i += 1;
        }
        i
    }

    /// Rows of a box of `x`: 64, or what is there of them, in eights. Rows that are not loaded cost no time where a CTA
    /// loads many boxes; where tiles are shared it loads few, and clearing the missing rows once costs more.
    #[must_use]
    pub const fn rows_of_box(&self, shape: &Shape) -> u32 {
        if self.splits == 1 && shape.m < TILE { shape.m.next_multiple_of(8) } else { TILE }
    }

    /// Bytes of partial sums: of every CTA its f32 accumulators.
    #[must_use]
    pub const fn partial_bytes(&self) -> u64 {
        if self.splits == 1 { 0 } else { self.ctas as u64 * partial_tile_bytes(self.width[0]) }
    }

    /// Bytes of partial sums that any product needs at most.
    #[must_use]
    pub const fn most_partial_bytes(multiprocessors: u32) -> u64 {
        multiprocessors as u64 * partial_tile_bytes(256)
    }
}

/// Shares that a tile can have: of each a CTA is on the GPU, and has a block.
#[must_use]
pub const fn most_splits(shape: &Shape, width: [u32; 2], multiprocessors: u32) -> u32 {
    let tiles = Tiles::new(shape, width, 1);
    let together = multiprocessors / tiles.count();
    if width[1] > 1 || together == 0 {
        1
    } else if together < tiles.blocks() {
        together
    } else {
        tiles.blocks()
    }
}

/// What a product takes, roughly, in nanoseconds, on an H100: enough to tell cuts apart, not to predict a time.
///
/// Constants are fitted to `bench/results/gemm-tilings-h100.jsonl`, calls one after the other in a graph: of what was
/// measured there, the cut with the least time by this formula is the fastest, or within 4 % of it. Of those it
/// chooses, it is off by a tenth or less in 30 of 44 cases, by a fifth or less in 38: more where the operands are in the
/// L2 from the call before.
///
/// - A launch is 2 µs. The output of the last tile comes behind everything: 1.4 ns for each of its rows.
/// - A multiprocessor multiplies 128 × 64 × n in 4 n cycles at 1.32 GHz: less than its clock, for waits among blocks
///   and for the power limit.
/// - It takes 100 bytes a nanosecond into shared memory, where rows that there are not count as well: when the cuts were
///   measured, zeros still came the same way. All of them take 10,000 bytes from the L2 together, clusters what one of
///   their CTAs loads for all once.
/// - Memory is read and written at 3,200 bytes a nanosecond, a little faster if all fits into the L2.
/// - An eighth of what is shorter of memory and the rest does not overlap, and of a block a 64th.
/// - To share tiles costs 1.6 µs, 15 ns for every CTA, and sums to memory and back at 6,200 bytes a nanosecond.
#[must_use]
pub const fn nanoseconds(shape: &Shape, tiling: &Tiling, multiprocessors: u32) -> u64 {
    let Tiling { width: [rows, cluster], splits, ctas } = *tiling;
    let tiles = Tiles::new(shape, tiling.width, splits);
    let waves = tiles.items().div_ceil(multiprocessors / cluster) as u64;
    let blocks = tiles.blocks().div_ceil(splits) as u64;
    let multiply = rows as u64 * 76 / 25;
    let row = 2 * TILE as u64;
    let alone = (COLUMNS + rows) as u64 * row / 100;
    let together = (ctas * (COLUMNS + rows / cluster)) as u64 * row / 10_000;
    let load = if alone > together { alone } else { together };
    let compute = waves * blocks * overlapped(multiply, load, 64);
    let Shape { batch, m, n, k } = *shape;
    let (batch, m, n, k) = (batch as u64, m as u64, n as u64, k as u64);
    let bytes = 2 * batch * (n * k + m * k + m * n);
    let memory = bytes / if bytes < L2_BYTES { 3500 } else { 3200 };
    let time = 2000 + overlapped(compute, memory, 8);
    if splits == 1 {
        return time + rows as u64 * 7 / 5;
    }
    let rows_of_x = if shape.m < rows { shape.m } else { rows };
    let sums = tiles.items() as u64 * (COLUMNS * rows_of_x) as u64 * 4;
    time + 1600 + 15 * ctas as u64 + 2 * sums / 6200
}

/// What an H100's L2 of 50 MB keeps from one call to the next.
const L2_BYTES: u64 = 40_000_000;

/// Of two times at once, all of the longer, and one part of so many of the shorter.
const fn overlapped(a: u64, b: u64, parts: u64) -> u64 {
    if a > b { a + b / parts } else { b + a / parts }
}

const fn partial_tile_bytes(rows: u32) -> u64 {
    (rows * COLUMNS * 4) as u64
}

/// Whether indices of tiles and blocks, and products of them, fit into 32 bits.
const fn is_countable(shape: &Shape) -> bool {
    let Shape { batch, m, n, k } = *shape;
    let tiles = batch as u128 * m.div_ceil(WIDTHS[0][0]) as u128 * n.div_ceil(COLUMNS) as u128;
    tiles > 0 && tiles < 1 << 24 && k > 0 && k < 1 << 24
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch;

    const H100: u32 = 132;

    fn chosen(batch: u32, [m, n, k]: [u32; 3]) -> Tiling {
        Tiling::choose(&Shape { batch, m, n, k }, H100).expect("a small product")
    }

    /// Narrow tiles, and as many CTAs as it takes to read at the rate of the memory: more of them only wait for each
    /// other.
    #[test]
    fn small_steps_share_tiles() {
        for m in [1, 16, 64] {
            for (n, k, fewest) in [(1536, 7168, 48), (576, 7168, 50), (7168, 16_384, 56)] {
                let tiling = chosen(1, [m, n, k]);
                assert_eq!(tiling.width, [64, 1], "{m} × {n} × {k}");
                assert!((fewest..=112).contains(&tiling.ctas), "{m} × {n} × {k}: {tiling:?}");
            }
            let whole = Tiling { width: [64, 1], splits: 1, ctas: 132 };
            assert_eq!(chosen(1, [m, 24_576, 1536]), whole);
        }
    }

    #[test]
    fn kernels_have_the_width_in_their_name() {
        for (index, width) in WIDTHS.into_iter().enumerate() {
            let tiling = Tiling { width, splits: 1, ctas: 2 };
            assert_eq!(tiling.kernel(), index);
            for kernels in [launch::GEMM_BF16, launch::GEMM_F16] {
                assert_eq!(kernels[index].cluster, width[1]);
            }
        }
    }

    /// Wide tiles, of the width that leaves the fewest multiprocessors without one: 4,096 tokens are 22 tiles of 192,
    /// and 1,536 and 576 outputs 6 and 3 of 256; 66 clusters of two take 6 · 22 in two rounds and 3 · 22 in one.
    #[test]
    fn long_chunks_take_wide_tiles_that_fill_the_gpu() {
        for (n, k, width) in [
            (24_576, 1536, [256, 2]),
            (7168, 16_384, [256, 2]),
            (1536, 7168, [192, 2]),
            (576, 7168, [192, 2]),
        ] {
            assert_eq!(chosen(1, [4096, n, k]), Tiling { width, splits: 1, ctas: 132 }, "{n}");
        }
    }

    /// Inputs of a head are few: not worth a meeting of CTAs. Tiles are no wider than there are tokens.
    #[test]
    fn heads_are_not_shared() {
        for t in [1, 8, 64, 128, 256, 512] {
            for heads in [16, 128] {
                for (n, k) in [(512, 128), (128, 512)] {
                    let tiling = chosen(heads, [t, n, k]);
                    assert_eq!(tiling.splits, 1, "{heads} × {t} × {n} × {k}");
                    assert!(tiling.width[0] <= t.next_multiple_of(64), "{heads} × {t}: {tiling:?}");
                }
            }
        }
    }

    /// No CTA of a shared tile waits for one that has no multiprocessor, and none is without inputs.
    #[test]
    fn shared_tiles_fit_on_the_gpu() {
        for m in [1, 63, 64, 65, 200, 256, 1000, 5000] {
            for n in [8, 128, 576, 1536, 7168] {
                for k in [8, 64, 65, 128, 7168] {
                    for multiprocessors in [1, 4, 78, H100] {
                        let shape = Shape { batch: 1, m, n, k };
                        let tiling = Tiling::choose(&shape, multiprocessors).expect("small");
                        let tiles = Tiles::new(&shape, tiling.width, tiling.splits);
                        assert!(tiling.splits == 1 || tiles.items() == tiling.ctas);
                        assert!(tiling.ctas <= multiprocessors && tiling.splits <= tiles.blocks());
                        assert!(tiling.ctas.is_multiple_of(tiling.width[1]));
                        let most = Tiling::most_partial_bytes(multiprocessors);
                        assert!(tiling.partial_bytes() <= most);
                    }
                }
            }
        }
    }

    #[test]
    fn products_without_an_index_are_refused() {
        for [batch, m, n, k] in [[0, 1, 8, 8], [1, 0, 8, 8], [1, 1, 0, 8], [1, 1, 8, 0]] {
            assert_eq!(Tiling::choose(&Shape { batch, m, n, k }, H100), None);
        }
        let huge = Shape { batch: u32::MAX, m: u32::MAX, n: u32::MAX, k: 64 };
        assert_eq!(Tiling::choose(&huge, H100), None);
    }
}
