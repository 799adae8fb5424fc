//! The end of a request inside its last block, and the beginning of a window inside its first.
//!
//! Rows of the cache past the end of a request, or before all windows, are not ours: they may hold anything, NaN
//! included. The mask hides them from the softmax, but their probability of 0 times NaN is NaN in the output. So the
//! rows are cleared in shared memory before V is multiplied.

use core::ops::Range;

use super::dense::config::{TILE, WARPGROUP};
use super::header::Header;
use crate::abi::DenseDecodeParams;
use crate::attention::limits::Limits;
use crate::ptx::{barrier, fence, shared, special};
use crate::tile::swizzle::{self, ROW_CHUNKS, TILE_BYTES};

/// Tiles of half of V.
const TILES: u32 = 4;

/// The rows past the end of the request in a block from which on it has `tokens`, if there are any.
#[inline(always)]
pub fn rows(tokens: i32) -> Option<Range<u32>> {
    let used = tokens as u32;
    (used < TILE).then_some(used..TILE)
}

/// How many rows at the beginning of a block, from which on the request has `tokens`, no query token sees.
#[inline(always)]
pub fn hidden<L: Limits>(params: &DenseDecodeParams, tokens: i32) -> u32 {
    if L::LIMITED { params.reach.hidden(tokens) } else { 0 }
}

/// The rows at the beginning of the block of `header` that no query token sees, if there are any.
#[inline(always)]
pub fn rows_before<L: Limits>(header: &Header) -> Option<Range<u32>> {
    (L::LIMITED && header.hidden() > 0).then(|| 0..header.hidden())
}

/// The rows of the block of `header` that some query token may see.
#[inline(always)]
pub fn seen<L: Limits>(header: &Header) -> Range<u32> {
    let first = if L::LIMITED { header.hidden() } else { 0 };
    first..(header.tokens as u32).min(TILE)
}

/// Clears `rows` of four tiles from `tiles` on: half of V.
///
/// # Safety
/// The 128 threads of a warpgroup call it, converged; `GROUP` is their named barrier. The tiles have landed,
/// and no multiply that needs those rows is in flight.
#[inline(always)]
pub unsafe fn clear<const GROUP: u32>(tiles: u32, rows: Range<u32>) {
    // SAFETY: the caller's promise. The first barrier keeps the clearing behind the multiplies that the
    // other warps have waited for, the second keeps V's multiplies behind the clearing.
    unsafe {
        barrier::sync::<GROUP, WARPGROUP>();
        let end = rows.end * ROW_CHUNKS;
        let mut i = rows.start * ROW_CHUNKS + special::thread_index() % WARPGROUP;
        while i < end {
            let offset = swizzle::chunk_offset(i / ROW_CHUNKS, i % ROW_CHUNKS);
            let mut tile = 0;
            while tile < TILES {
                shared::store_zero_16(tiles + tile * TILE_BYTES + offset);
                tile += 1;
            }
            i += WARPGROUP;
        }
        fence::proxy_async_shared();
        barrier::sync::<GROUP, WARPGROUP>();
    }
}
