//! The online softmax (Milakov and Gimelshein 2018; FlashAttention, Dao et al. 2022), in base 2: scores are
//! scaled by `softmax_scale · log2(e)` so that one fused multiply-add and one `ex2` make a probability.

use seq_macro::seq;

use super::rows;
use crate::ptx::math;
use crate::ptx::warp;
use crate::ptx::wgmma::{Acc64, Acc256, FragmentA};
use crate::tile::element::Element;

/// A running maximum below every real score, and finite: the difference of two of them is 0, not NaN.
const NO_MAXIMUM: f32 = -1.0e30;

/// State of the two rows that a thread holds.
pub struct OnlineSoftmax {
    /// Largest scaled score so far, the same in the four threads that share a row.
    maximum: [f32; 2],
    /// Sum of probabilities so far, over this thread's columns alone.
    sum: [f32; 2],
}

/// What [`OnlineSoftmax::finish`] leaves of a row.
pub struct RowResult {
    /// Factor that normalises the accumulated output: 1 / sum, or 0 for a row that saw no token.
    pub normaliser: [f32; 2],
    /// log2 of the sum of 2^score, −∞ for a row that saw no token.
    pub log2_sum: [f32; 2],
}

impl OnlineSoftmax {
    /// No score seen yet.
    #[inline(always)]
    pub fn new() -> Self {
        Self { maximum: [NO_MAXIMUM; 2], sum: [0.0; 2] }
    }

    /// Turns `scores` into probabilities relative to the new maximum and returns the factors that bring
    /// earlier results of the two rows to it.
    #[inline(always)]
    pub fn step(&mut self, scores: &mut Acc64, scale_log2: f32) -> [f32; 2] {
        let mut largest = [scores[0], scores[2]];
        seq!(N in 0..32 {
            largest[N / 2 % 2] = math::max(largest[N / 2 % 2], scores[N]);
        });
        let mut factor = [0.0; 2];
        seq!(R in 0..2 {
            let new = math::max(self.maximum[R], quad_max(largest[R]) * scale_log2);
            factor[R] = math::exp2(self.maximum[R] - new);
            self.maximum[R] = new;
            self.sum[R] *= factor[R];
        });
        seq!(N in 0..32 {
            scores[N] = math::exp2(math::fma(scores[N], scale_log2, -self.maximum[N / 2 % 2]));
            self.sum[N / 2 % 2] += scores[N];
        });
        factor
    }

    /// Closes the rows.
    #[inline(always)]
    pub fn finish(self) -> RowResult {
        let mut result = RowResult { normaliser: [0.0; 2], log2_sum: [0.0; 2] };
        seq!(R in 0..2 {
            let sum = quad_sum(self.sum[R]);
            result.normaliser[R] = if sum == 0.0 { 0.0 } else { math::recip(sum) };
            result.log2_sum[R] = self.maximum[R] + math::log2(sum);
        });
        result
    }
}

/// Hides the columns that a row does not see: those from `limits[row]` on.
#[inline(always)]
pub fn mask(scores: &mut Acc64, limits: [i32; 2]) {
    let column = rows::fragment_column() as i32;
    seq!(N in 0..32 {
        if column + (N / 4 * 8 + N % 2) >= limits[N / 2 % 2] {
            scores[N] = f32::NEG_INFINITY;
        }
    });
}

/// Probabilities as the A operand of the next multiply: accumulators and A fragments of 16-bit elements are
/// spread over the threads in the same way, so that nothing moves between them.
#[inline(always)]
pub fn pack<E: Element>(p: &Acc64) -> [FragmentA; 4] {
    let mut packed = [[0; 4]; 4];
    seq!(K in 0..4 {
        packed[K] = [
            E::pack(p[8 * K], p[8 * K + 1]),
            E::pack(p[8 * K + 2], p[8 * K + 3]),
            E::pack(p[8 * K + 4], p[8 * K + 5]),
            E::pack(p[8 * K + 6], p[8 * K + 7]),
        ];
    });
    packed
}

/// Multiplies the two rows of an accumulator by their factors; skipped when that changes nothing in the
/// whole warp, which is most of the time once the maxima have settled.
#[inline(always)]
pub fn scale_rows(o: &mut Acc256, factor: [f32; 2]) {
    if warp::all(factor[0] == 1.0 && factor[1] == 1.0) {
        return;
    }
    seq!(N in 0..128 {
        o[N] *= factor[N / 2 % 2];
    });
}

/// Largest value among the four threads that share a row.
#[inline(always)]
fn quad_max(value: f32) -> f32 {
    let pair = math::max(value, warp::butterfly::<1>(value));
    math::max(pair, warp::butterfly::<2>(pair))
}

/// Sum over the four threads that share a row.
#[inline(always)]
fn quad_sum(value: f32) -> f32 {
    let pair = value + warp::butterfly::<1>(value);
    pair + warp::butterfly::<2>(pair)
}
