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

/// Where the base-2 logarithms of scales begin, behind the scales of 64 tokens.
const LOGARITHMS: u32 = 64 * 4;
/// Where their inverses begin, behind those.
const INVERSES: u32 = 2 * LOGARITHMS;

/// Stores the terms of token `token` of a block: its scale, a power of two, and the base-2 logarithm and the inverse of that.
///
/// # Safety
/// At `terms` is room for those of 64 tokens in shared memory.
#[inline(always)]
pub unsafe fn store_terms(terms: u32, token: u32, scale: f32) {
    // Adding 2^23 to a small integer as the fraction of a float makes a float of it.
    const INTEGER: u32 = (127 + 23) << 23;
    let log2 = f32::from_bits(INTEGER | scale.to_bits() >> 23) - ((1 << 23) + 127) as f32;
    // SAFETY: the caller's promise.
    unsafe {
        shared::store_f32(terms + 4 * token, scale);
        shared::store_f32(terms + LOGARITHMS + 4 * token, log2);
        shared::store_f32(terms + INVERSES + 4 * token, inverse(scale));
    }
}

/// Turns sums over codes into raw scores, by the scales of the two rows and those of the tokens, whose terms are at `terms`.
///
/// # Safety
/// The terms of 64 tokens are in shared memory, 8-byte aligned.
#[inline(always)]
pub unsafe fn score(sums: &mut Acc64, terms: u32, rows: [f32; 2]) {
    seq!(N in 0..8 {
        // SAFETY: the caller's promise.
        let scales = unsafe { load::<N>(terms) };
        seq!(I in 0..4 {
            sums[4 * N + I] *= scales[I % 2] * rows[I / 2];
        });
    });
}

/// Turns raw scores into weights in powers of two, by `units` of the two rows; with `OF_CODES` sums over codes, without the
/// scales of the tokens.
///
/// # Safety
/// As for [`score`].
#[inline(always)]
pub unsafe fn weigh<const OF_CODES: bool>(scores: &mut Acc64, terms: u32, units: [f32; 2]) {
    seq!(N in 0..8 {
        // SAFETY: the caller's promise.
        let (scales, logarithms) = unsafe {
            let scales = if OF_CODES { load::<N>(terms) } else { [1.0; 2] };
            (scales, load::<N>(terms + LOGARITHMS))
        };
        seq!(I in 0..4 {
            let score = scores[4 * N + I] * scales[I % 2];
            scores[4 * N + I] = math::fma(score, units[I / 2], logarithms[I % 2]);
        });
    });
}

/// What stands in the array at `values` for this thread's two columns of group `N` of eight.
#[inline(always)]
unsafe fn load<const N: u32>(values: u32) -> [f32; 2] {
    // SAFETY: the caller's promise.
    unsafe { shared::load_f32x2(values + 4 * (rows::fragment_column() + 8 * N)) }
}

impl OnlineSoftmax {
    /// No weight seen yet.
    #[inline(always)]
    pub fn of_weights() -> Self {
        Self::for_e4m3(TOP)
    }

    /// Turns `weights`, in powers of two, into weights and returns the factors that bring earlier results of the two rows
    /// to the same reference.
    ///
    /// # Safety
    /// As for [`score`].
    #[inline(always)]
    pub unsafe fn step_scaled(&mut self, weights: &mut Acc64, terms: u32) -> [f32; 2] {
        let factors = self.follow(row_maxima(weights));
        seq!(N in 0..8 {
            // SAFETY: the caller's promise.
            let inverses = unsafe { load::<N>(terms + INVERSES) };
            seq!(I in 0..4 {
                let (i, row) = (4 * N + I, I / 2);
                weights[i] = math::exp2(weights[i] - self.reference[row]);
                self.sum[row] = math::fma(weights[i], inverses[I % 2], self.sum[row]);
            });
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
