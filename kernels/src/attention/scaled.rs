//! The online softmax over tokens that have a scale each, for values in FP8.
//!
//! A token's value is its codes times its scale, a power of two, so that its probability times that scale is what its codes
//! are multiplied by: its *weight*. Weights become e4m3, of which 448 is the largest number; references follow the largest
//! weight of a row, not its largest probability. Sums are those of probabilities, as f32.

use seq_macro::seq;

use super::rows;
use super::softmax::{OnlineSoftmax, row_maxima};
use crate::cache::fp8::inverse;
use crate::ptx::wgmma::Acc64;
use crate::ptx::wgmma_fp8::FragmentA;
use crate::ptx::{math, registers, shared};

/// Where a row's largest weight is put when its reference moves, in powers of two. It may then grow to 2^8 before the
/// reference moves again; weights have three bits of fraction down to 2^−6, so that at least 2^11 lie between the largest
/// and those that begin to lose bits, and 2^15 between it and those that become zero.
const TOP: f32 = 5.0;

/// The scales of this thread's columns: two of each group of eight.
pub type Scales = [[f32; 2]; 8];

/// Turns sums over codes into raw scores, by the scales of the two rows and those of the tokens. `terms` is the address of
/// the scale and its base-2 logarithm for each token.
///
/// # Safety
/// The terms of 64 tokens are in shared memory, 16-byte aligned.
#[inline(always)]
pub unsafe fn score(sums: &mut Acc64, terms: u32, rows: [f32; 2]) {
    seq!(N in 0..8 {
        // SAFETY: the caller's promise.
        let [low, _, high, _] = unsafe { load_terms::<N>(terms) };
        seq!(R in 0..2 {
            sums[4 * N + 2 * R] *= low * rows[R];
            sums[4 * N + 2 * R + 1] *= high * rows[R];
        });
    });
}

/// Turns raw scores into weights in powers of two, by `units` of the two rows; with `OF_CODES` sums over codes, without the
/// scales of the tokens.
///
/// # Safety
/// As for [`score`].
#[inline(always)]
pub unsafe fn weigh<const OF_CODES: bool>(
    scores: &mut Acc64,
    terms: u32,
    units: [f32; 2],
) -> Scales {
    let mut scales = [[0.0; 2]; 8];
    seq!(N in 0..8 {
        // SAFETY: the caller's promise.
        let [low, low_log2, high, high_log2] = unsafe { load_terms::<N>(terms) };
        scales[N] = [low, high];
        let [a, b] = if OF_CODES { [low, high] } else { [1.0; 2] };
        seq!(R in 0..2 {
            let first = 4 * N + 2 * R;
            scores[first] = math::fma(scores[first] * a, units[R], low_log2);
            scores[first + 1] = math::fma(scores[first + 1] * b, units[R], high_log2);
        });
    });
    scales
}

/// The terms of this thread's two tokens of group `N` of eight.
#[inline(always)]
unsafe fn load_terms<const N: u32>(terms: u32) -> [f32; 4] {
    let first = terms + 8 * (rows::fragment_column() + 8 * N);
    // SAFETY: the caller's promise.
    unsafe { shared::load_u32x4(first) }.map(f32::from_bits)
}

impl OnlineSoftmax {
    /// Turns `weights`, in powers of two, into weights and returns the factors that bring earlier results of the two rows
    /// to the same reference.
    #[inline(always)]
    pub fn step_scaled(&mut self, weights: &mut Acc64, scales: &Scales) -> [f32; 2] {
        let factors = self.follow(row_maxima(weights), TOP);
        seq!(N in 0..32 {
            weights[N] = math::exp2(weights[N] - self.reference[N / 2 % 2]);
            let probability = inverse(scales[N / 4][N % 2]);
            self.sum[N / 2 % 2] = math::fma(weights[N], probability, self.sum[N / 2 % 2]);
        });
        // As in `step`.
        registers::settle(&mut self.sum);
        factors
    }
}

/// Weights as the A operand of the next multiply, 32 tokens in each: a register has two columns of one group of eight and
/// two of the next, which is the order of the tokens in V.
#[inline(always)]
pub fn pack(weights: &Acc64) -> [FragmentA; 2] {
    let mut packed = [[0; 4]; 2];
    seq!(I in 0..8 {
        let (group, row) = (I / 2, I % 2);
        let first = 8 * group + 2 * row;
        packed[I / 4][I % 4] = math::pack_e4m3([
            weights[first],
            weights[first + 1],
            weights[first + 4],
            weights[first + 5],
        ]);
    });
    packed
}
