//! Shared memory that all lanes of a warp read alike.

use crate::ptx::{shared, special, warp};

/// Four words, read by lane 0 and handed around: the compiler then knows them to be the same in all lanes, and the
/// memory is free again when lane 0 says so.
///
/// # Safety
/// All lanes of a warp call it, converged; `address` is 16-byte aligned and 16 bytes from it are inside the CTA's
/// shared memory.
#[inline(always)]
pub unsafe fn load_u32x4(address: u32) -> [u32; 4] {
    let mut words = [0; 4];
    if special::lane() == 0 {
        // SAFETY: the caller's promise.
        words = unsafe { shared::load_u32x4(address) };
    }
    words.map(|word| warp::broadcast(word, 0))
}
