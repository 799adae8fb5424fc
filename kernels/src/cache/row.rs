//! A row of 576 elements in the registers of a warp.

use crate::decode::dense::config::D_LATENT;
use crate::ptx::{global, special};

/// Bytes of a vector of all lanes: half of the latent part.
const HALF: u64 = 32 * 16;
/// Bytes of the latent part.
pub const LATENT_BYTES: u64 = 2 * D_LATENT as u64;

/// A lane's share of the latent part: elements `8 · lane..` and `256 + 8 · lane..`, packed in pairs.
pub type Latent = [[u32; 4]; 2];

/// The lane's share of 512 elements.
///
/// # Safety
/// `address` is that of 512 readable 16-bit elements, 16-byte aligned.
#[inline(always)]
pub unsafe fn load_latent(address: u64) -> Latent {
    let lane = address + 16 * u64::from(special::lane());
    // SAFETY: the caller's promise.
    unsafe {
        [global::load_u32x4(lane as *const u32), global::load_u32x4((lane + HALF) as *const u32)]
    }
}

/// Stores the lane's share of 512 elements.
///
/// # Safety
/// As for [`load_latent`], and writable.
#[inline(always)]
pub unsafe fn store_latent(address: u64, latent: Latent) {
    let lane = address + 16 * u64::from(special::lane());
    // SAFETY: the caller's promise.
    unsafe {
        global::store_u32x4(lane as *mut u32, latent[0]);
        global::store_u32x4((lane + HALF) as *mut u32, latent[1]);
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
