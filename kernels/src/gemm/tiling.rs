//! Which kernel a product takes, and how many CTAs.

use super::abi::Shape;
use super::config::{COLUMNS, TILE};
use super::tiles::Tiles;

/// Rows of `x` in a tile of each kernel.
pub const WIDTHS: [u32; 3] = [64, 128, 256];

/// How a product is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Rows of `x` in a tile: one of [`WIDTHS`].
    pub rows: u32,
    /// CTAs that share the inputs of a tile.
    pub splits: u32,
    /// CTAs: `gridDim.x`.
    pub ctas: u32,
}

impl Tiling {
    /// The cut that [`nanoseconds`] says is fastest on a GPU of so many multiprocessors; `None` if the shape has more
    /// tiles than an index counts, or a size is 0. Of equals, the one with fewer splits and narrower tiles.
    #[must_use]
    pub const fn choose(shape: &Shape, multiprocessors: u32) -> Option<Self> {
        if !is_countable(shape) {
            return None;
        }
        let mut best = Self::new(shape, WIDTHS[0], 1, multiprocessors);
        let mut least = u64::MAX;
        let mut i = 0;
        while i < WIDTHS.len() {
            let tiles = Tiles::new(shape, WIDTHS[i], 1);
            let most = multiprocessors / tiles.count();
            let most = if most < tiles.blocks() { most } else { tiles.blocks() };
            let mut splits = 1;
            while splits == 1 || splits <= most {
                let time = nanoseconds(shape, WIDTHS[i], splits, multiprocessors);
                if time < least {
                    least = time;
                    best = Self::new(shape, WIDTHS[i], splits, multiprocessors);
                }
                splits += 1;
            }
            i += 1;
        }
        Some(best)
    }

    /// The cut into tiles of `rows` rows and `splits` shares.
    #[must_use]
    pub const fn new(shape: &Shape, rows: u32, splits: u32, multiprocessors: u32) -> Self {
        let items = Tiles::new(shape, rows, splits).items();
        Self { rows, splits, ctas: if items < multiprocessors { items } else { multiprocessors } }
    }

    /// Bytes of partial sums: of every CTA its f32 accumulators.
    #[must_use]
    pub const fn partial_bytes(&self) -> u64 {
        if self.splits == 1 { 0 } else { self.ctas as u64 * partial_tile_bytes(self.rows) }
    }

    /// Bytes of partial sums that any product needs at most.
    #[must_use]
    pub const fn most_partial_bytes(multiprocessors: u32) -> u64 {
        multiprocessors as u64 * partial_tile_bytes(WIDTHS[WIDTHS.len() - 1])
    }
}

/// What a product takes, roughly, in nanoseconds, on an H100: enough to tell cuts apart, not to predict a time.
///
/// - A multiprocessor multiplies 64 × 64 × n in 2 n cycles at 1.6 GHz, and takes 60 bytes a nanosecond from the L2.
/// - All of them read 3,000 bytes a nanosecond from memory.
/// - A tile costs 1 µs beside its blocks: its output, and until its first block has come.
/// - To share a tile costs 2 µs: sums to memory, counter, sums back, at 4,000 bytes a nanosecond.
#[must_use]
pub const fn nanoseconds(shape: &Shape, rows: u32, splits: u32, multiprocessors: u32) -> u64 {
    let tiles = Tiles::new(shape, rows, splits);
    let waves = tiles.items().div_ceil(multiprocessors) as u64;
    let blocks = tiles.blocks().div_ceil(splits) as u64;
    let multiply = rows as u64 * 5 / 2;
    let load = ((COLUMNS + rows) * TILE * 2) as u64 / 60;
    let block = if multiply > load { multiply } else { load };
    let compute = waves * (blocks * block + 1000);
    let Shape { batch, m, n, k } = *shape;
    let (batch, m, n, k) = (batch as u64, m as u64, n as u64, k as u64);
    let memory = 2 * batch * (n * k + m * k + m * n) / 3000;
    let longest = if compute > memory { compute } else { memory };
    if splits == 1 {
        return longest;
    }
    let rows_of_sums = if m < rows as u64 { m } else { rows as u64 };
    let sums = tiles.items() as u64 * COLUMNS as u64 * rows_of_sums * 4;
    longest + 2000 + 2 * sums / 4000
}

const fn partial_tile_bytes(rows: u32) -> u64 {
    (rows * COLUMNS * 4) as u64
}

/// Whether indices of tiles and blocks, and products of them, fit into 32 bits.
const fn is_countable(shape: &Shape) -> bool {
    let Shape { batch, m, n, k } = *shape;
    let tiles = batch as u64 * m.div_ceil(WIDTHS[0]) as u64 * n.div_ceil(COLUMNS) as u64;
    tiles > 0 && tiles < 1 << 24 && k > 0 && k < 1 << 24
}

#[cfg(test)]
mod tests {
    use super::*;

    const H100: u32 = 132;

    fn chosen(batch: u32, [m, n, k]: [u32; 3]) -> Tiling {
        Tiling::choose(&Shape { batch, m, n, k }, H100).expect("a small product")
    }

    /// One token: every multiprocessor has a share of the weight.
    #[test]
    fn small_steps_use_the_whole_gpu() {
        for (n, k) in [(1536, 7168), (576, 7168), (7168, 16_384)] {
            for m in [1, 16, 64] {
                let tiling = chosen(1, [m, n, k]);
                assert_eq!(tiling.rows, 64, "{m} × {n} × {k}");
                assert!(tiling.ctas >= 100 && tiling.splits > 1, "{m} × {n} × {k}: {tiling:?}");
            }
        }
        assert_eq!(chosen(1, [1, 24_576, 1536]), Tiling { rows: 64, splits: 1, ctas: 132 });
    }

    #[test]
    fn long_chunks_take_the_widest_tiles() {
        for (n, k) in [(24_576, 1536), (7168, 16_384)] {
            assert_eq!(chosen(1, [4096, n, k]), Tiling { rows: 256, splits: 1, ctas: 132 });
        }
    }

    /// A head's inputs are few: not worth a meeting of CTAs.
    #[test]
    fn heads_are_not_shared() {
        for heads in [16, 128] {
            for t in [1, 8, 64, 512] {
                assert_eq!(chosen(heads, [t, 512, 128]).splits, 1, "absorb {heads} × {t}");
                assert_eq!(chosen(heads, [t, 128, 512]).splits, 1, "expand {heads} × {t}");
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
                        let tiles = Tiles::new(&shape, tiling.rows, tiling.splits);
                        assert!(tiling.splits == 1 || tiles.items() == tiling.ctas);
                        assert!(tiling.ctas <= multiprocessors && tiling.splits <= tiles.blocks());
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
