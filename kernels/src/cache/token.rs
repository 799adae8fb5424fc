//! What becomes of a new token on its way to the cache.

use seq_macro::seq;

use super::row::Latent;
use crate::ptx::{global, math, special, warp};
use crate::tile::element::Element;

/// Cosine and sine of the lane's pair at `position`.
///
/// # Safety
/// `rotations` is the address of a table as [`AppendParams`](super::abi::AppendParams) says, which has the position.
#[inline(always)]
pub unsafe fn load_turn(rotations: u64, position: u32) -> [f32; 2] {
    let pair = u64::from(position) * 32 + u64::from(special::lane());
    // SAFETY: the caller's promise.
    unsafe { global::load_f32x2((rotations + 8 * pair) as *const f32) }
}

/// Rotation of a pair of elements.
#[inline(always)]
pub fn rotate([x, y]: [f32; 2], [cos, sin]: [f32; 2]) -> [f32; 2] {
    [math::fma(x, cos, -(y * sin)), math::fma(x, sin, y * cos)]
}

/// `1 / sqrt(mean(x²) + eps)` of `width` elements. All lanes call it, converged.
#[inline(always)]
pub fn inverse_root<E: Element>(latent: Latent, width: u32, eps: f32) -> f32 {
    let mut sum = 0.0;
    seq!(I in 0..8 {
        let [low, high] = E::unpack(latent[I / 4][I % 4]);
        sum = math::fma(low, low, math::fma(high, high, sum));
    });
    sum += warp::butterfly::<16>(sum);
    sum += warp::butterfly::<8>(sum);
    sum += warp::butterfly::<4>(sum);
    sum += warp::butterfly::<2>(sum);
    sum += warp::butterfly::<1>(sum);
    math::rsqrt(math::fma(sum, 1.0 / width as f32, eps))
}
