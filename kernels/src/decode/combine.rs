//! Merge of split requests.
//!
//! One warp merges one row: it weighs the partial outputs by 2^(their LSE − the common LSE) and adds them
//! up in the order of the splits, so that two runs agree bit by bit. Rows of requests that one CTA finished
//! alone are left as they are; rows of empty requests, which no CTA visits, become 0 with LSE −∞.

/// Threads per CTA: eight warps, a row each.
pub const THREADS: u32 = 32 * ROWS_PER_CTA;
/// Rows that a CTA merges.
pub const ROWS_PER_CTA: u32 = 8;
/// CTAs per tile.
pub const CTAS_PER_TILE: u32 = 64 / ROWS_PER_CTA;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use seq_macro::seq;

    use super::{CTAS_PER_TILE, ROWS_PER_CTA};
    use crate::abi::DenseDecodeParams;
    use crate::attention::epilogue::{lse_address, partial_row};
    use crate::attention::rows::Tile;
    use crate::decode::{schedule, walk};
    use crate::ptx::{global, math, special, warp};
    use crate::tile::element::Element;

    /// Sixteen of the 512 output columns: lane `l` holds columns `8 l + 256 h` to `+ 7`, `h` = 0 and 1.
    type Columns = [[f32; 8]; 2];

    /// The kernel.
    ///
    /// # Safety
    /// As for [`crate::entry::combine_bf16`].
    #[inline(always)]
    pub unsafe fn run<E: Element>(params: &DenseDecodeParams) {
        let index = special::cta_x();
        let tiles = params.rows.tiles();
        let request = index / CTAS_PER_TILE / tiles;
        let tile = Tile::new(params, index / CTAS_PER_TILE % tiles);
        let row = index % CTAS_PER_TILE * ROWS_PER_CTA + special::warp();
        if !tile.contains(row) {
            return;
        }
        // SAFETY: `request` is inside the batch, which the launcher vouches for.
        let blocks = schedule::blocks(unsafe {
            global::load_i32((params.lengths as *const i32).add(request as usize))
        });
        if blocks == 0 {
            // SAFETY: request and row exist.
            unsafe { store::<E>(params, &tile, request, row, f32::NEG_INFINITY, &[[0.0; 8]; 2]) };
            return;
        }
        // SAFETY: as above; the whole warp is here.
        let (cut, start) = unsafe { walk::locate(params, request) };
        let (first, last) = cut.parts_of(start, blocks);
        if first != last {
            let splits = Splits { params, tile: &tile, row, first, last };
            // SAFETY: the decode kernel wrote these splits.
            unsafe {
                let lse = splits.log2_sum();
                store::<E>(params, &tile, request, row, lse, &splits.merge(lse));
            }
        }
    }

    /// The partial results of one row.
    struct Splits<'a> {
        params: &'a DenseDecodeParams,
        tile: &'a Tile,
        row: u32,
        first: u32,
        last: u32,
    }

    impl Splits<'_> {
        /// Row of the partial buffers that `part` wrote.
        #[inline(always)]
        fn partial(&self, part: u32) -> usize {
            let slot = schedule::slot(part, part == self.first);
            partial_row(self.params, self.tile, slot, self.row) as usize
        }

        /// LSE of the split of `part`, base 2.
        #[inline(always)]
        unsafe fn lse(&self, part: u32) -> f32 {
            // SAFETY: the split exists.
            unsafe {
                global::load_f32((self.params.partial_lse as *const f32).add(self.partial(part)))
            }
        }

        /// LSE of all splits together, base 2; −∞ if no split saw a token.
        #[inline(always)]
        unsafe fn log2_sum(&self) -> f32 {
            let mut maximum = f32::NEG_INFINITY;
            let mut part = self.first + special::lane();
            while part <= self.last {
                // SAFETY: a part between first and last.
                maximum = math::max(maximum, unsafe { self.lse(part) });
                part += 32;
            }
            let maximum = warp_reduce(maximum, math::max);
            // Any finite reference will do where no split saw a token: the sum is then 0 and its log −∞.
            let maximum = if maximum == f32::NEG_INFINITY { 0.0 } else { maximum };
            let mut sum = 0.0;
            let mut part = self.first + special::lane();
            while part <= self.last {
                // SAFETY: as above.
                sum += math::exp2(unsafe { self.lse(part) } - maximum);
                part += 32;
            }
            maximum + math::log2(warp_reduce(sum, |a, b| a + b))
        }

        /// The weighted sum of the partial outputs.
        #[inline(always)]
        unsafe fn merge(&self, lse: f32) -> Columns {
            let mut total: Columns = [[0.0; 8]; 2];
            if lse == f32::NEG_INFINITY {
                return total;
            }
            let mut part = self.first;
            while part <= self.last {
                // SAFETY: as above; 512 floats from the start of a row, 16-byte aligned.
                unsafe {
                    let weight = math::exp2(self.lse(part) - lse);
                    let row = (self.params.partial_out as *const f32).add(self.partial(part) * 512);
                    seq!(H in 0..2 {
                        let at = row.add((8 * special::lane() + 256 * H) as usize);
                        let low = global::load_f32x4(at);
                        let high = global::load_f32x4(at.add(4));
                        seq!(N in 0..4 {
                            total[H][N] = math::fma(weight, low[N], total[H][N]);
                            total[H][4 + N] = math::fma(weight, high[N], total[H][4 + N]);
                        });
                    });
                }
                part += 1;
            }
            total
        }
    }

    /// Writes a row of the output and its LSE, given in base 2.
    #[inline(always)]
    unsafe fn store<E: Element>(
        params: &DenseDecodeParams,
        tile: &Tile,
        request: u32,
        row: u32,
        log2_sum: f32,
        values: &Columns,
    ) {
        let offset = u64::from(request) * params.out_stride_batch
            + u64::from(tile.token(row)) * params.out_stride_token
            + u64::from(tile.head(row)) * params.out_stride_head;
        let out = (params.out as *mut u16).wrapping_add(offset as usize);
        seq!(H in 0..2 {
            let v = &values[H];
            let packed = [
                E::pack(v[0], v[1]), E::pack(v[2], v[3]), E::pack(v[4], v[5]), E::pack(v[6], v[7]),
            ];
            // SAFETY: 16-byte aligned columns of an existing row.
            unsafe {
                global::store_b16x8(out.wrapping_add((8 * special::lane() + 256 * H) as usize), packed);
            };
        });
        if special::lane() == 0 {
            // SAFETY: request and row exist.
            unsafe {
                global::store_f32(
                    lse_address(params, tile, request, row),
                    log2_sum * core::f32::consts::LN_2,
                );
            };
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
