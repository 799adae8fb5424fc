//! Scales of a block in shared memory.

use seq_macro::seq;

use super::config::*;
use crate::cache::fp8::{ScaleType, from_ue8m0};
use crate::decode::dense_fp8::unit;
use crate::ptx::{shared, special};

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

/// The [`size`](unit::size) of the largest of the scales, at `scales`, that this lane looks at: those of all 32 are those of
/// a block. Those of tokens that do not count are 0.
///
/// # Safety
/// The scales have landed.
#[inline(always)]
pub unsafe fn largest<F: Codes>(scales: u32) -> u32 {
    let first = scales + special::lane() * 16;
    let mut largest = 0;
    seq!(I in 0..2 {
        if I * 32 * 16 < SCALE_BYTES / 16 * F::TOKEN_SCALE_BYTES {
            // SAFETY: inside the scales of the block, 16-byte aligned.
            let words = unsafe { shared::load_u32x4(first + I * 32 * 16) };
            let [a, b, c, d] = words.map(|word| match F::LAYOUT.scale {
                ScaleType::F32 => unit::size(word),
                ScaleType::Ue8m0 => largest_exponent(word),
            });
            largest = largest.max(a.max(b)).max(c.max(d));
        }
    });
    largest
}

/// The size of the largest of the four powers of two whose exponent fields are the bytes of `word`.
#[inline(always)]
fn largest_exponent(word: u32) -> u32 {
    let size = |byte: u32| unit::size((word >> (8 * byte) & 0xff) << 23);
    size(0).max(size(1)).max(size(2)).max(size(3))
}
