//! The online softmax (Milakov and Gimelshein 2018; FlashAttention, Dao et al. 2022), in base 2: scores are
//! scaled by `softmax_scale · log2(e)` so that one fused multiply-add and one `ex2` make a probability.

use seq_macro::seq;

use super::{rows, sink};
use crate::ptx::math;
use crate::ptx::registers;
use crate::ptx::warp;
use crate::ptx::wgmma::{Acc64, Acc256, FragmentA};
use crate::tile::element::Element;

/// A reference below every real score, and finite: the difference of two of them is 0, not NaN.
const NO_REFERENCE: f32 = -1.0e30;

/// How far, in powers of two, a score may exceed the reference before the reference moves. Probabilities then
/// reach 256, which neither 16-bit type nor f32 minds, and the outputs are hardly ever rescaled: with exact
/// maxima, random scores rescaled them in every other block of a 4,096-token request.
const SLACK: f32 = 8.0;

/// How far the reference of [`OnlineSoftmax::for_f16`] is below the score that it moves to. An f16 ends at 2^16 and, in
/// full precision, at 2^−14: probabilities of up to 2^15 leave more of it to small ones.
const RAISE: f32 = 7.0;

/// State of the two rows that a thread holds.
pub struct OnlineSoftmax {
    /// What probabilities are relative to, in powers of two: at most `slack` below the largest scaled score so far, and the
    /// same in the four threads that share a row.
    pub(super) reference: [f32; 2],
    /// How far the reference is below the score that it moves to.
    raise: f32,
    /// How far a score may exceed the reference before the reference moves.
    slack: f32,
    /// Sum of probabilities so far, over this thread's columns alone.
    pub(super) sum: [f32; 2],
    /// Largest scaled score so far, over this thread's columns alone, in powers of two, if that is wanted.
    maximum: Option<[f32; 2]>,
}

/// What [`OnlineSoftmax::finish`] leaves of a row.
pub struct RowResult {
    /// Factor that normalises the accumulated output: 1 / sum, or 0 for a row that saw no token.
    pub normaliser: [f32; 2],
    /// log2 of the sum of 2^score, −∞ for a row that saw no token.
    pub log2_sum: [f32; 2],
    /// Largest scaled score in powers of two, if it was wanted; −∞ for a row that saw no token.
    pub maximum: Option<[f32; 2]>,
}

impl OnlineSoftmax {
    /// No score seen yet. Whether the largest is wanted is a constant, which the compiler then knows.
    #[inline(always)]
    pub fn new(wants_maxima: bool) -> Self {
        Self {
            reference: [NO_REFERENCE; 2],
            raise: 0.0,
            slack: SLACK,
            sum: [0.0; 2],
            maximum: wants_maxima.then_some([f32::NEG_INFINITY; 2]),
        }
    }

    /// The same, for probabilities that are rounded to f16.
    #[inline(always)]
    pub fn for_f16(wants_maxima: bool) -> Self {
        Self { raise: RAISE, slack: RAISE + SLACK, ..Self::new(wants_maxima) }
    }

    /// The same, for probabilities that become e4m3 and are `raise` when their reference moves, in powers of two.
    #[inline(always)]
    pub(super) fn for_e4m3(raise: f32) -> Self {
        Self { raise, ..Self::new(false) }
    }

    /// Turns `scores`, each row of which `scales_log2` brings to powers of two, into probabilities and returns the factors
    /// that bring earlier results of the two rows to the same reference.
    #[inline(always)]
    pub fn step(&mut self, scores: &mut Acc64, scales_log2: [f32; 2]) -> [f32; 2] {
        let [upper, lower] = row_maxima(scores);
        let largest = [upper * scales_log2[0], lower * scales_log2[1]];
        if let Some(maximum) = &mut self.maximum {
            seq!(R in 0..2 { maximum[R] = math::max(maximum[R], largest[R]); });
        }
        let factors = self.follow(largest);
        seq!(N in 0..32 {
            let (scale, reference) = (scales_log2[N / 2 % 2], self.reference[N / 2 % 2]);
            scores[N] = math::exp2(math::fma(scores[N], scale, -reference));
            self.sum[N / 2 % 2] += scores[N];
        });
        // Left to itself, the compiler adds up among the multiplies that overwrite `scores`, and ptxas then
        // serialises them all (C7514).
        registers::settle(&mut self.sum);
        factors
    }

    /// Moves the references of the rows whose largest scaled score is too far above them, of which this thread has seen
    /// `largest`; the factors that bring earlier results to them. Mostly there is nothing to do, and
    /// one vote tells: the threads of a row agree on its maximum only where the reference moves.
    #[inline(always)]
    pub(super) fn follow(&mut self, largest: [f32; 2]) -> [f32; 2] {
        let exceeds = |r: usize| largest[r] > self.reference[r] + self.slack;
        if !warp::any(exceeds(0) || exceeds(1)) {
            return [1.0; 2];
        }
        let mut factors = [0.0; 2];
        seq!(R in 0..2 {
            let maximum = quad_max(largest[R]);
            let moves = maximum > self.reference[R] + self.slack;
            let reference = if moves { maximum - self.raise } else { self.reference[R] };
            factors[R] = math::exp2(self.reference[R] - reference);
            self.reference[R] = reference;
            self.sum[R] *= factors[R];
        });
        factors
    }

    /// Makes ptxas compute the probabilities of the last step before anything that follows.
    #[inline(always)]
    pub fn demand(&self) {
        registers::demand(self.sum[0] + self.sum[1]);
    }

    /// Closes the rows, beside scores that have no values.
    #[inline(always)]
    pub fn finish(self, sinks: Option<[f32; 2]>) -> RowResult {
        let maximum = self.maximum.map(|maximum| maximum.map(quad_max));
        let mut result = RowResult { normaliser: [0.0; 2], log2_sum: [0.0; 2], maximum };
        seq!(R in 0..2 {
            let sum = quad_sum(self.sum[R]);
            let sink = sinks.map(|sinks| sinks[R]);
            result.normaliser[R] = sink::normaliser(sum, self.reference[R], sink);
            result.log2_sum[R] = self.reference[R] + math::log2(sum);
        });
        result
    }
}

/// Hides the columns that a row does not see: those from `limits[row]` on.
#[inline(always)]
pub fn mask(scores: &mut Acc64, limits: [i32; 2]) {
    let limits = from_own_column(limits);
    seq!(N in 0..32 {
        if N / 4 * 8 + N % 2 >= limits[N / 2 % 2] {
            scores[N] = f32::NEG_INFINITY;
        }
    });
}

/// Hides the columns that a row no longer sees: those before `first[row]`.
#[inline(always)]
pub fn mask_before(scores: &mut Acc64, first: [i32; 2]) {
    let first = from_own_column(first);
    seq!(N in 0..32 {
        if N / 4 * 8 + N % 2 < first[N / 2 % 2] {
            scores[N] = f32::NEG_INFINITY;
        }
    });
}

/// Columns counted from this thread's first, so that they are compared with constants: the numbers of its 16 columns would
/// take as many registers.
#[inline(always)]
fn from_own_column(columns: [i32; 2]) -> [i32; 2] {
    columns.map(|column| column - rows::fragment_column() as i32)
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
/// whole warp, which is most of the time.
#[inline(always)]
pub fn scale_rows(o: &mut Acc256, factor: [f32; 2]) {
    if warp::all(factor[0] == 1.0 && factor[1] == 1.0) {
        return;
    }
    seq!(N in 0..128 {
        o[N] *= factor[N / 2 % 2];
    });
}

/// Largest score of each row among this thread's columns: four chains of comparisons a row, for a single one
/// of 16 would take the latency of each.
#[inline(always)]
pub(super) fn row_maxima(scores: &Acc64) -> [f32; 2] {
    let mut largest = [
        [scores[0], scores[1], scores[4], scores[5]],
        [scores[2], scores[3], scores[6], scores[7]],
    ];
    seq!(N in 8..32 {
        let chain = &mut largest[N / 2 % 2][N / 4 % 2 * 2 + N % 2];
        *chain = math::max(*chain, scores[N]);
    });
    largest.map(|[a, b, c, d]| math::max(math::max(a, b), math::max(c, d)))
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
