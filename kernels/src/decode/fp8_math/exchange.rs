//! P from the left to the right warpgroup: fragments, from thread to thread.

use super::config::{P, WARPGROUP};
use crate::ptx::wgmma_fp8::FragmentA;
use crate::ptx::{shared as memory, special};

/// Bytes of one fragment of all threads.
const FRAGMENTS_BYTES: u32 = 16 * WARPGROUP;

/// Address of this thread's first fragment.
#[inline(always)]
fn place(shared: u32) -> u32 {
    shared + P + special::thread_index() % WARPGROUP * 16
}

/// Writes this thread's fragments.
///
/// # Safety
/// A thread of the left warpgroup calls it, when right has used the last ones.
#[inline(always)]
pub unsafe fn store(shared: u32, [low, high]: &[FragmentA; 2]) {
    let place = place(shared);
    // SAFETY: inside P, 16-byte aligned.
    unsafe {
        memory::store_u32x4(place, *low);
        memory::store_u32x4(place + FRAGMENTS_BYTES, *high);
    }
}

/// The fragments of the thread of left that has the rows and columns of this one.
///
/// # Safety
/// A thread of the right warpgroup calls it, when left has published them.
#[inline(always)]
pub unsafe fn load(shared: u32) -> [FragmentA; 2] {
    let place = place(shared);
    // SAFETY: inside P, 16-byte aligned.
    unsafe { [memory::load_u32x4(place), memory::load_u32x4(place + FRAGMENTS_BYTES)] }
}
