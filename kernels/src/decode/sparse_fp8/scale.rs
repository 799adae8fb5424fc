//! Scales of a block in shared memory.

use super::config::*;
use crate::cache::fp8::{ScaleType, from_ue8m0};
use crate::ptx::shared;

/// The scale of tile `tile` of token `token`, whose block's are at `scales`.
///
/// # Safety
/// The scales have landed.
#[inline(always)]
pub unsafe fn load<F: Codes>(scales: u32, token: u32, tile: u32) -> f32 {
    let of_token = scales + token * F::TOKEN_SCALE_BYTES;
    // SAFETY: the caller's promise; inside the token's scales, 4-byte aligned.
    unsafe {
        match F::LAYOUT.scale {
            ScaleType::F32 => shared::load_f32(of_token + tile / (F::LAYOUT.tile / TILE_CODES) * 4),
            ScaleType::Ue8m0 => {
                let word = shared::load_u32(of_token + tile / 4 * 4);
                from_ue8m0(word >> (8 * (tile % 4)) & 0xff)
            }
        }
    }
}
