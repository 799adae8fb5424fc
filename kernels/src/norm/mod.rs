//! Rows normalised by the root of their mean square: what stands between the two projections of a compressed query.
//!
//! A row has one warp, which loads row and weights before it waits for anything. The first 1,536 elements, all there
//! are in the models that compress queries, stay in registers; of wider rows the rest is loaded twice, the second time
//! from the L1.

pub mod abi;

/// Warps of a CTA, each with a row.
pub const WARPS: u32 = 4;
/// Threads per CTA.
pub const THREADS: u32 = 32 * WARPS;
/// CTAs that must fit on a multiprocessor: 16 warps, of which each has 3 KB of its row under way, where 1 µs of DRAM
/// latency at 3.35 TB/s asks for 25 KB in all. It leaves a thread 128 registers.
pub const CTAS_PER_SM: u32 = 4;

/// CTAs for `rows` rows: `gridDim.x`.
#[must_use]
pub const fn ctas(rows: u32) -> u32 {
    rows.div_ceil(WARPS)
}

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use seq_macro::seq;

    use super::WARPS;
    use super::abi::NormParams;
    use crate::ptx::{global, math, special, warp};
    use crate::tile::element::Element;

    /// Vectors of 8 elements that a lane has at a time.
    const VECTORS: usize = 6;
    /// Columns from a lane's vector to its next.
    const STEP: u32 = 32 * 8;
    /// Columns that a warp has at a time.
    const COLUMNS: u32 = STEP * VECTORS as u32;

    /// A lane's share of 1,536 columns, packed in pairs; zeros behind the last column.
    type Share = [[u32; 4]; VECTORS];

    /// The kernel.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn run<E: Element>(params: &NormParams) {
        let row = special::cta_x() * WARPS + special::warp();
        if row >= params.rows {
            return;
        }
        let x = params.x + 2 * u64::from(row) * params.x_stride;
        let y = params.y + 2 * u64::from(row) * params.y_stride;
        let (width, first) = (params.width, 8 * special::lane());
        // SAFETY: the launcher vouches for the parameters; the row exists, and columns are below its width.
        unsafe {
            let share = load(x, first, width);
            let weight = load(params.weight, first, width);
            let mut sum = squares::<E>(&share, 0.0);
            let mut column = first + COLUMNS;
            while column < width {
                sum = squares::<E>(&load(x, column, width), sum);
                column += COLUMNS;
            }
            sum = sum_of_lanes(sum);
            let scale = math::rsqrt(math::fma(sum, params.inverse_width, params.eps));
            store::<E>(y, first, width, (share, weight), scale);
            let mut column = first + COLUMNS;
            while column < width {
                let rest = (load(x, column, width), load(params.weight, column, width));
                store::<E>(y, column, width, rest, scale);
                column += COLUMNS;
            }
        }
    }

    /// Loads a lane's share, from `column` on.
    #[inline(always)]
    unsafe fn load(row: u64, column: u32, width: u32) -> Share {
        let mut share = [[0; 4]; VECTORS];
        seq!(I in 0..6 {
            let at = column + I * STEP;
            if at < width {
                // SAFETY: a vector of the row.
                share[I] = unsafe { global::load_u32x4((row + 2 * u64::from(at)) as *const u32) };
            }
        });
        share
    }

    /// Stores a lane's share of `x · scale · weight`, from `column` on.
    #[inline(always)]
    unsafe fn store<E: Element>(
        row: u64,
        column: u32,
        width: u32,
        (x, weight): (Share, Share),
        scale: f32,
    ) {
        seq!(I in 0..6 {
            let at = column + I * STEP;
            if at < width {
                let vector = scaled::<E>(x[I], weight[I], scale);
                // SAFETY: a vector of the row.
                unsafe { global::store_u32x4((row + 2 * u64::from(at)) as *mut u32, vector) };
            }
        });
    }

    /// `sum`, and the squares of a share.
    #[inline(always)]
    fn squares<E: Element>(share: &Share, mut sum: f32) -> f32 {
        seq!(I in 0..24 {
            let [low, high] = E::unpack(share[I / 4][I % 4]);
            sum = math::fma(low, low, math::fma(high, high, sum));
        });
        sum
    }

    /// The sum of what all lanes have.
    #[inline(always)]
    fn sum_of_lanes(mut sum: f32) -> f32 {
        sum += warp::butterfly::<16>(sum);
        sum += warp::butterfly::<8>(sum);
        sum += warp::butterfly::<4>(sum);
        sum += warp::butterfly::<2>(sum);
        sum + warp::butterfly::<1>(sum)
    }

    /// Eight elements, scaled and rounded once.
    #[inline(always)]
    fn scaled<E: Element>(mut x: [u32; 4], weight: [u32; 4], scale: f32) -> [u32; 4] {
        seq!(I in 0..4 {
            let [low, high] = E::unpack(x[I]);
            let [low_weight, high_weight] = E::unpack(weight[I]);
            x[I] = E::pack(low * scale * low_weight, high * scale * high_weight);
        });
        x
    }
}
