//! A token in the registers of a warp: up to 512 elements of the latent part, 64 of the rope part.

use crate::decode::dense::config::D_LATENT;
use crate::ptx::{global, special};

/// Elements of a vector of all lanes.
pub const HALF_ELEMENTS: u32 = 32 * 8;
/// Bytes of a vector of all lanes.
const HALF: u64 = 2 * HALF_ELEMENTS as u64;
/// Bytes of a latent part of 512 elements.
pub const LATENT_BYTES: u64 = 2 * D_LATENT as u64;

/// A lane's share of the latent part: elements `8 · lane..` and `256 + 8 · lane..`, packed in pairs.
pub type Latent = [[u32; 4]; 2];

/// Whether the lane has a share in half `half` of `width` elements. Always, if there are 512.
#[inline(always)]
pub fn has_share(half: u32, width: u32) -> bool {
    (half + 1) * HALF_ELEMENTS <= width || half * HALF_ELEMENTS + 8 * special::lane() < width
}

/// The lane's share of `width` elements; zeros where it has none.
///
/// # Safety
/// `address` is that of `width` readable 16-bit elements, 16-byte aligned; `width` is a multiple of 8 from 256 to 512.
#[inline(always)]
pub unsafe fn load_latent(address: u64, width: u32) -> Latent {
    let lane = address + 16 * u64::from(special::lane());
    // SAFETY: the caller's promise.
    unsafe {
        let low = global::load_u32x4(lane as *const u32);
        let has_high = has_share(1, width);
        let high = if has_high { global::load_u32x4((lane + HALF) as *const u32) } else { [0; 4] };
        [low, high]
    }
}

/// Stores the lane's share of `width` elements.
///
/// # Safety
/// As for [`load_latent`], and writable.
#[inline(always)]
pub unsafe fn store_latent(address: u64, latent: Latent, width: u32) {
    let lane = address + 16 * u64::from(special::lane());
    // SAFETY: the caller's promise.
    unsafe {
        global::store_u32x4(lane as *mut u32, latent[0]);
        if has_share(1, width) {
            global::store_u32x4((lane + HALF) as *mut u32, latent[1]);
        }
    }
}

/// The lane's pair of the rope part.
///
/// # Safety
/// `address` is that of 64 readable 16-bit elements, 4-byte aligned.
#[inline(always)]
pub unsafe fn load_pair(address: u64) -> u32 {
    let lane = address + 4 * u64::from(special::lane());
    // SAFETY: the caller's promise.
    unsafe { global::load_i32(lane as *const i32) as u32 }
}

/// Stores the lane's pair of the rope part.
///
/// # Safety
/// As for [`load_pair`], and writable.
#[inline(always)]
pub unsafe fn store_pair(address: u64, pair: u32) {
    let lane = address + 4 * u64::from(special::lane());
    // SAFETY: the caller's promise.
    unsafe { global::store_u32(lane as *mut u32, pair) };
}
