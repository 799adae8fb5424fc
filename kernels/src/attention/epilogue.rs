//! Results from registers to global memory.

use seq_macro::seq;

use super::rows::{self, Tile};
use crate::abi::DenseDecodeParams;
use crate::ptx::global;
use crate::ptx::special;
use crate::ptx::wgmma::Acc256;
use crate::tile::element::Element;

const LN_2: f32 = core::f32::consts::LN_2;

/// Where a tile's results go.
#[derive(Clone, Copy)]
pub enum Destination {
    /// The final output and LSE of a request that nobody else works on.
    Output {
        /// Index of the request.
        request: u32,
    },
    /// Partial results, for the combine kernel.
    Partial {
        /// Slot of the partial buffers.
        slot: u32,
    },
}

/// Writes `o · normaliser` for the columns from `first_column` on: 256 of the 512.
///
/// Four threads write 16 (output) or 32 (partial) consecutive bytes of a row, whole 32-byte sectors after
/// merging in L2.
///
/// # Safety
/// All threads of a warpgroup call it; the output or partial buffer of `params` is writable.
#[inline(always)]
pub unsafe fn store_half<E: Element>(
    params: &DenseDecodeParams,
    tile: &Tile,
    to: Destination,
    first_column: u32,
    o: &Acc256,
    normaliser: [f32; 2],
) {
    let column = first_column + rows::fragment_column();
    seq!(R in 0..2 {
        let row = rows::fragment_rows()[R];
        if tile.contains(row) {
            let scale = normaliser[R];
            match to {
                Destination::Output { request } => {
                    let offset = u64::from(request) * params.out_stride_batch
                        + u64::from(tile.token(row)) * params.out_stride_token
                        + u64::from(tile.head(row)) * params.out_stride_head
                        + u64::from(column);
                    let out = (params.out as *mut u16).wrapping_add(offset as usize);
                    seq!(N in 0..32 {
                        let pair = E::pack(o[4 * N + 2 * R] * scale, o[4 * N + 2 * R + 1] * scale);
                        // SAFETY: row and column are inside the output.
                        unsafe { global::store_b16x2(out.wrapping_add(8 * N), pair) };
                    });
                }
                Destination::Partial { slot } => {
                    let offset = partial_row(params, tile, slot, row) * 512 + u64::from(column);
                    let out = (params.partial_out as *mut f32).wrapping_add(offset as usize);
                    seq!(N in 0..32 {
                        let pair = [o[4 * N + 2 * R] * scale, o[4 * N + 2 * R + 1] * scale];
                        // SAFETY: slot, row and column are inside the partial buffer.
                        unsafe { global::store_f32x2(out.wrapping_add(8 * N), pair) };
                    });
                }
            }
        }
    });
}

/// Writes the LSE of the tile's rows: natural for the output, base 2 for a partial.
///
/// # Safety
/// As for [`store_half`].
#[inline(always)]
pub unsafe fn store_lse(
    params: &DenseDecodeParams,
    tile: &Tile,
    to: Destination,
    log2_sum: [f32; 2],
) {
    if !special::lane().is_multiple_of(4) {
        return;
    }
    seq!(R in 0..2 {
        let row = rows::fragment_rows()[R];
        if tile.contains(row) {
            match to {
                // SAFETY: request and row are inside the batch.
                Destination::Output { request } => unsafe {
                    global::store_f32(lse_address(params, tile, request, row), log2_sum[R] * LN_2);
                },
                Destination::Partial { slot } => {
                    let offset = partial_row(params, tile, slot, row) as usize;
                    // SAFETY: slot and row are inside the partial buffer.
                    unsafe {
                        global::store_f32((params.partial_lse as *mut f32).wrapping_add(offset), log2_sum[R]);
                    };
                }
            }
        }
    });
}

/// Address of the LSE of row `row` of the tile.
#[inline(always)]
pub fn lse_address(params: &DenseDecodeParams, tile: &Tile, request: u32, row: u32) -> *mut f32 {
    let offset = u64::from(request) * params.lse_stride_batch
        + u64::from(tile.head(row)) * params.lse_stride_head
        + u64::from(tile.token(row));
    (params.lse as *mut f32).wrapping_add(offset as usize)
}

/// Index of a row in the partial buffers `[2 · parts, tiles, 64]`.
#[inline(always)]
pub fn partial_row(params: &DenseDecodeParams, tile: &Tile, slot: u32, row: u32) -> u64 {
    (u64::from(slot) * u64::from(params.rows.tiles()) + u64::from(tile.index)) * 64 + u64::from(row)
}
