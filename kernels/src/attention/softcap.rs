//! The soft cap of scores: `cap · tanh(score / cap)`, as Gemma 2 has it.

use seq_macro::seq;

use crate::ptx::math;
use crate::ptx::wgmma::Acc64;

/// Leaves `tanh(score · scale)` of the scores of two rows, which the softmax then multiplies by the cap.
#[inline(always)]
pub fn apply(scores: &mut Acc64, scales: [f32; 2]) {
    seq!(N in 0..32 {
        scores[N] = math::tanh(scores[N] * scales[N / 2 % 2]);
    });
}
