//! The soft cap of scores: `cap · tanh(score / cap)`, as Gemma 2 has it.

use seq_macro::seq;

use crate::ptx::math;
use crate::ptx::wgmma::Acc64;

/// Leaves `tanh(score · scale)` of the scores, which the softmax then multiplies by the cap; nothing changes if `scale`
/// is 0. Comes before the mask, for the tangent of −∞ is −1.
#[inline(always)]
pub fn apply(scores: &mut Acc64, scale: f32) {
    if scale != 0.0 {
        seq!(N in 0..32 {
            scores[N] = math::tanh(scores[N] * scale);
        });
    }
}
