//! Merge of split requests.
//!
//! A row is the sum of the partial outputs, weighted by 2^(their LSE − the common LSE), in the order of the
//! splits, so that two runs agree bit by bit. Rows of requests that one CTA finished alone are left as they
//! are; rows of empty requests, which no CTA visits, become 0 with LSE −∞.
//!
//! The grid may start while the decode kernel still runs, and waits for it before it reads partial results.

use crate::abi::Rows;

/// Threads per CTA: eight warps.
pub const THREADS: u32 = 32 * WARPS;
const WARPS: u32 = 8;
/// Up to this many CTAs, five rounds of the three that each of 132 multiprocessors holds, a row has four warps
/// and a short chain of loads; beyond, one warp, for the CTAs themselves cost time: 4,224 of them, most without
/// work, took 10 µs on an H100 (`docs/performance-notes.md`, 13).
const MANY_CTAS: u32 = 2048;

/// How the CTAs of a launch divide the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// CTAs along x: groups of rows.
    pub x: u32,
    /// CTAs along y: requests if there are no more of them than parts, else parts, each of which can have one
    /// split request whose first block it took.
    pub y: u32,
    /// Warps that share a row, each a part of its columns: 4 or 1.
    pub warps_per_row: u32,
}

impl Grid {
    /// For a launch with that packing of rows, batch and parts.
    #[must_use]
    #[inline(always)]
    pub const fn new(rows: &Rows, batch: u32, parts: u32) -> Self {
        let y = if batch < parts { batch } else { parts };
        let wide = Self::with(rows, y, 4);
        if wide.x.saturating_mul(y) <= MANY_CTAS { wide } else { Self::with(rows, y, 1) }
    }

    #[inline(always)]
    const fn with(rows: &Rows, y: u32, warps_per_row: u32) -> Self {
        let per_tile = rows.rows_per_tile().div_ceil(WARPS / warps_per_row);
        Self { x: rows.tiles() * per_tile, y, warps_per_row }
    }
}

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use seq_macro::seq;

    use super::{Grid, WARPS};
    use crate::abi::DenseDecodeParams;
    use crate::attention::epilogue::{lse_address, partial_row};
    use crate::attention::rows::Tile;
    use crate::decode::schedule;
    use crate::decode::walk::{self, Split};
    use crate::ptx::{global, grid, math, special, warp};
    use crate::tile::element::Element;

    /// The kernel.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn run<E: Element>(params: &DenseDecodeParams) {
        let Grid { x, y, warps_per_row } = Grid::new(&params.rows, params.batch, params.parts);
        let (index, turn, warp) = (special::cta_x(), special::cta_y(), special::warp());
        let ctas_per_tile = x / params.rows.tiles();
        let tile = Tile::new(params, index / ctas_per_tile);
        let row = index % ctas_per_tile * (WARPS / warps_per_row) + warp / warps_per_row;
        let column = warp % warps_per_row * VECTOR_COLUMNS + special::lane() * 4;
        // SAFETY: whole warps; the launcher vouches for the parameters.
        unsafe {
            let split = if y == params.batch {
                walk::split_of_request(params, turn)
            } else {
                walk::split_from_part(params, turn)
            };
            // Not only for the partial results: whoever waits for this grid waits for the decode kernel too.
            grid::wait();
            if !tile.contains(row) {
                return;
            }
            if warps_per_row == 1 {
                Place::<4> { params, tile: &tile, row, column }.run::<E>(split, turn, y);
            } else {
                Place::<1> { params, tile: &tile, row, column }.run::<E>(split, turn, y);
            }
        }
    }

    /// Columns of a vector of all lanes.
    const VECTOR_COLUMNS: u32 = 32 * 4;
    /// Vectors under way together, of two splits or of eight: 43 splits, one at a time, would take 43 times the
    /// latency of L2.
    const LOADS: usize = 8;
    /// Four columns of up to four vectors.
    type Columns = [[f32; 4]; 4];

    /// `VECTORS` (1 or 4) times four columns of a tile row, 128 apart.
    struct Place<'a, const VECTORS: usize> {
        params: &'a DenseDecodeParams,
        tile: &'a Tile,
        row: u32,
        column: u32,
    }

    impl<const VECTORS: usize> Place<'_, VECTORS> {
        /// The work of CTA `turn` of `turns`: its split, if it has one, and empty requests.
        #[inline(always)]
        unsafe fn run<E: Element>(&self, split: Option<Split>, turn: u32, turns: u32) {
            // SAFETY: the caller's promise.
            unsafe {
                if let Some(split) = split {
                    self.merge::<E>(&split);
                }
                self.clear_empty_requests::<E>(turn, turns);
            }
        }

        /// Writes the results of requests without tokens: those of every `turns`-th group of 32 requests.
        #[inline(always)]
        unsafe fn clear_empty_requests<E: Element>(&self, turn: u32, turns: u32) {
            let (lengths, batch) = (self.params.lengths as *const i32, self.params.batch);
            let mut first = turn * 32;
            while first < batch {
                let request = first + special::lane();
                // SAFETY: inside the batch.
                let empty = request < batch
                    && schedule::blocks(unsafe { global::load_i32(lengths.add(request as usize)) })
                        == 0;
                let mut left = warp::ballot(empty);
                while left != 0 {
                    let request = first + left.trailing_zeros();
                    // SAFETY: request and row exist.
                    unsafe { self.store::<E>(request, &[[0.0; 4]; 4], f32::NEG_INFINITY) };
                    left &= left - 1;
                }
                first += turns * 32;
            }
        }

        /// Merges the partial results of `split`.
        #[inline(always)]
        unsafe fn merge<E: Element>(&self, split: &Split) {
            // SAFETY: the decode kernel has written these splits.
            unsafe {
                let lse = self.log2_sum(split);
                let mut total: Columns = [[0.0; 4]; 4];
                let mut first = split.first;
                while first <= split.last && lse != f32::NEG_INFINITY {
                    let mut values = [[0.0; 4]; LOADS];
                    let mut weights = [0.0; LOADS];
                    // Past the last split, that is loaded again, with weight 0.
                    seq!(I in 0..8 {
                        let part = first + (I / VECTORS) as u32;
                        values[I] = self.partial(split, part.min(split.last), I % VECTORS);
                        weights[I] = self.lse(split, part.min(split.last));
                    });
                    seq!(I in 0..8 {
                        let weight = math::exp2(weights[I] - lse);
                        let exists = first + (I / VECTORS) as u32 <= split.last;
                        let weight = if exists { weight } else { 0.0 };
                        let sums = &mut total[I % VECTORS];
                        seq!(N in 0..4 {
                            sums[N] = math::fma(weight, values[I][N], sums[N]);
                        });
                    });
                    first += (LOADS / VECTORS) as u32;
                }
                self.store::<E>(split.request, &total, lse);
            }
        }

        /// LSE of all splits together, base 2; −∞ if no split saw a token.
        #[inline(always)]
        unsafe fn log2_sum(&self, split: &Split) -> f32 {
            let mut maximum = f32::NEG_INFINITY;
            let mut part = split.first + special::lane();
            while part <= split.last {
                // SAFETY: a part between first and last.
                maximum = math::max(maximum, unsafe { self.lse(split, part) });
                part += 32;
            }
            let maximum = warp_reduce(maximum, math::max);
            // Any finite reference will do where no split saw a token: the sum is then 0 and its log −∞.
            let maximum = if maximum == f32::NEG_INFINITY { 0.0 } else { maximum };
            let mut sum = 0.0;
            let mut part = split.first + special::lane();
            while part <= split.last {
                // SAFETY: as above.
                sum += math::exp2(unsafe { self.lse(split, part) } - maximum);
                part += 32;
            }
            maximum + math::log2(warp_reduce(sum, |a, b| a + b))
        }

        /// Row of the partial buffers that `part` wrote.
        #[inline(always)]
        fn partial_row(&self, split: &Split, part: u32) -> usize {
            let slot = schedule::slot(part, part == split.first);
            partial_row(self.params, self.tile, slot, self.row) as usize
        }

        /// LSE of the split of `part`, base 2.
        #[inline(always)]
        unsafe fn lse(&self, split: &Split, part: u32) -> f32 {
            let row = self.partial_row(split, part);
            // SAFETY: the split exists.
            unsafe { global::load_f32((self.params.partial_lse as *const f32).add(row)) }
        }

        /// Four columns of the split of `part`.
        #[inline(always)]
        unsafe fn partial(&self, split: &Split, part: u32, vector: usize) -> [f32; 4] {
            let column = self.column as usize + vector * VECTOR_COLUMNS as usize;
            let at = self.partial_row(split, part) * 512 + column;
            // SAFETY: the split exists; four columns are 16-byte aligned.
            unsafe { global::load_f32x4((self.params.partial_out as *const f32).add(at)) }
        }

        /// Writes the columns and, once a row, its LSE, given in base 2.
        #[inline(always)]
        unsafe fn store<E: Element>(&self, request: u32, values: &Columns, log2_sum: f32) {
            let Self { params, tile, row, column } = *self;
            let offset = u64::from(request) * params.out_stride_batch
                + u64::from(tile.token(row)) * params.out_stride_token
                + u64::from(tile.head(row)) * params.out_stride_head
                + u64::from(column);
            let out = (params.out as *mut u16).wrapping_add(offset as usize);
            // SAFETY: four columns at a time, 8-byte aligned, of an existing row; the row's LSE.
            unsafe {
                seq!(V in 0..4 {
                    if V < VECTORS {
                        let [a, b, c, d] = values[V];
                        let at = out.wrapping_add(V * VECTOR_COLUMNS as usize);
                        global::store_b16x4(at, [E::pack(a, b), E::pack(c, d)]);
                    }
                });
                if column == 0 {
                    let lse = log2_sum * core::f32::consts::LN_2;
                    global::store_f32(lse_address(params, tile, request, row), lse);
                }
            }
        }
    }

    /// Reduction over all lanes, the result in each.
    #[inline(always)]
    fn warp_reduce(mut value: f32, combine: impl Fn(f32, f32) -> f32) -> f32 {
        value = combine(value, warp::butterfly::<16>(value));
        value = combine(value, warp::butterfly::<8>(value));
        value = combine(value, warp::butterfly::<4>(value));
        value = combine(value, warp::butterfly::<2>(value));
        combine(value, warp::butterfly::<1>(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row of every tile has a CTA, and no more CTAs than that.
    #[test]
    fn grids_cover_the_rows() {
        for (s_q, h_q, h_k, batch, parts) in [
            (1, 128, 1, 1, 66),
            (1, 128, 1, 128, 66),
            (2, 9, 3, 4, 22),
            (1, 16, 1, 500, 132),
            (1, 1, 1, 7, 132),
        ] {
            let rows = Rows::pack(s_q, h_q, h_k);
            let grid = Grid::new(&rows, batch, parts);
            let rows_per_cta = WARPS / grid.warps_per_row;
            let ctas_per_tile = grid.x / rows.tiles();
            assert_eq!(grid.x % rows.tiles(), 0);
            assert!((ctas_per_tile - 1) * rows_per_cta < rows.rows_per_tile());
            assert!(ctas_per_tile * rows_per_cta >= rows.rows_per_tile());
            assert_eq!(grid.y, batch.min(parts));
        }
    }

    #[test]
    fn few_rows_get_four_warps_each() {
        assert_eq!(Grid::new(&Rows::pack(1, 128, 1), 1, 66).warps_per_row, 4);
        assert_eq!(Grid::new(&Rows::pack(1, 128, 1), 128, 66).warps_per_row, 1);
    }
}
