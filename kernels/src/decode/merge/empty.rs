//! Requests without tokens.

use crate::abi::DenseDecodeParams;
use crate::attention::epilogue;
use crate::attention::rows::Tile;
use crate::decode::schedule;
use crate::decode::walk::Requests;
use crate::ptx::{global, special, warp};
use crate::tile::element::Element;

/// Writes the results of requests without tokens, those of every `parts`-th group of 32 requests, as one of
/// three warps.
///
/// # Safety
/// Three converged warps call it; the output is writable.
#[inline(always)]
pub unsafe fn clear_empty_requests<E: Element, R: Requests>(
    requests: &R,
    tile: &Tile,
    part: u32,
    warp_index: u32,
) {
    let params = requests.decode();
    let mut first = part * 32;
    while first < params.batch {
        let request = first + special::lane();
        // SAFETY: inside the batch.
        let empty =
            request < params.batch && schedule::blocks(unsafe { requests.length(request) }) == 0;
        let mut left = warp::ballot(empty);
        while left != 0 {
            // SAFETY: the request exists.
            unsafe { clear::<E>(params, tile, first + left.trailing_zeros(), warp_index) };
            left &= left - 1;
        }
        first += params.parts * 32;
    }
}

/// Writes 0 with LSE −∞ for every third row of a request from `row` on.
#[inline(always)]
unsafe fn clear<E: Element>(params: &DenseDecodeParams, tile: &Tile, request: u32, mut row: u32) {
    while row < 64 && tile.contains(row) {
        let out = epilogue::output_row(params, tile, request, row);
        let out = out.wrapping_add(8 * special::lane() as usize);
        let zeros = [E::pack(0.0, 0.0); 4];
        // SAFETY: 512 columns of an existing row, 16 bytes a lane, and its LSE.
        unsafe {
            global::store_u32x4(out.cast(), zeros);
            global::store_u32x4(out.wrapping_add(8 * 32).cast(), zeros);
            if special::lane() == 0 {
                let lse = epilogue::lse_address(params, tile, request, row);
                global::store_f32(lse, f32::NEG_INFINITY);
            }
        }
        row += 3;
    }
}
