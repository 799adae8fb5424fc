//! The scales of a token in memory.

use super::format::{Format, ScaleType};
use crate::cache::abi::Pages;
use crate::cache::row::HALF_ELEMENTS;
use crate::ptx::{global, special, warp};

/// Address of the scales of the first token of the block at `block`.
#[inline(always)]
pub fn first_scales<F: Format>(block: u64, pages: &Pages) -> u64 {
    block + F::LAYOUT.scales(u64::from(pages.block_size))
}

/// Address of the rope part of the first token of the block at `block`.
#[inline(always)]
pub fn first_rope<F: Format>(block: u64, pages: &Pages) -> u64 {
    block + F::LAYOUT.rope(u64::from(pages.block_size))
}

/// Stores the scales of token `token` of a block whose first are at `first`: each lane has those of its two halves. All
/// lanes call it, converged.
///
/// # Safety
/// The block is a writable one of the format.
#[inline(always)]
pub unsafe fn store_scales<F: Format>(first: u64, token: u32, scales: [f32; 2]) {
    let address = address::<F>(first, token);
    let (lane, lanes_per_tile) = (special::lane(), F::LAYOUT.tile / 8);
    let first_of_tile = lane.is_multiple_of(lanes_per_tile);
    // SAFETY: the caller's promise.
    unsafe {
        match F::LAYOUT.scale {
            ScaleType::F32 if F::LAYOUT.tile == 512 => {
                if lane == 0 {
                    global::store_f32(address as *mut f32, scales[0]);
                }
            }
            ScaleType::F32 => {
                if first_of_tile {
                    let low = address + 4 * u64::from(lane / lanes_per_tile);
                    let high = low + 4 * u64::from(tiles_per_half::<F>());
                    global::store_f32(low as *mut f32, scales[0]);
                    global::store_f32(high as *mut f32, scales[1]);
                }
            }
            ScaleType::Ue8m0 => {
                let code = |half: u32| {
                    let element = half * HALF_ELEMENTS + 8 * lane;
                    let shift = 8 * (lane / lanes_per_tile);
                    let counts = first_of_tile && element < F::LAYOUT.latent;
                    if counts { scales[half as usize].to_bits() >> 23 << shift } else { 0 }
                };
                let codes = [warp::sum(code(0)), warp::sum(code(1))];
                if lane == 0 {
                    global::store_u32x2(address as *mut u32, codes);
                }
            }
        }
    }
}

/// The scale of half `half` of the lane's share of token `token` of a block whose first scales are at `first`.
///
/// # Safety
/// The block is a readable one of the format, and the lane has a share in that half.
#[inline(always)]
pub unsafe fn load_scale<F: Format>(first: u64, token: u32, half: u32) -> f32 {
    let address = address::<F>(first, token);
    let tile_of_half = 8 * special::lane() / F::LAYOUT.tile;
    // SAFETY: the caller's promise.
    unsafe {
        match F::LAYOUT.scale {
            ScaleType::F32 => {
                let tile = half * tiles_per_half::<F>() + tile_of_half;
                let scale = (address + 4 * u64::from(tile)) as *const i32;
                f32::from_bits(global::load_i32(scale) as u32)
            }
            ScaleType::Ue8m0 => {
                let codes = global::load_i32((address + 4 * u64::from(half)) as *const i32) as u32;
                from_ue8m0(codes >> (8 * tile_of_half) & 0xff)
            }
        }
    }
}

/// Address of the first scale of a token.
#[inline(always)]
fn address<F: Format>(first: u64, token: u32) -> u64 {
    first + u64::from(token * F::LAYOUT.scale_stride)
}

#[inline(always)]
const fn tiles_per_half<F: Format>() -> u32 {
    // None, if both halves share a scale.
    HALF_ELEMENTS / F::LAYOUT.tile
}

/// `1 / scale` of a power of two between 2^−126 and 2^126.
#[inline(always)]
pub fn inverse(scale: f32) -> f32 {
    f32::from_bits((254 << 23) - scale.to_bits())
}

/// `2^(code − 127)`.
#[inline(always)]
pub fn from_ue8m0(code: u32) -> f32 {
    match code {
        // A subnormal f32.
        0 => f32::from_bits(1 << 22),
        255 => f32::NAN,
        _ => f32::from_bits(code << 23),
    }
}
