//! Results from registers to global memory.

use seq_macro::seq;

use super::quad;
use super::rows::{self, Tile};
use crate::abi::DenseDecodeParams;
use crate::ptx::wgmma::Acc256;
use crate::ptx::{global, special, warp};
use crate::tile::element::Element;

const LN_2: f32 = core::f32::consts::LN_2;

/// Columns of the output.
const COLUMNS: u32 = 512;
/// Columns of a chunk: what the four lanes that share a row hold side by side.
pub const CHUNK: u32 = 8;
/// Pairs of chunks in a row.
pub const PAIRS: u32 = COLUMNS / CHUNK / 2;
/// Threads of a warpgroup.
const WARPGROUP: u32 = 128;
/// Elements that a thread holds of a pair of chunks: two columns of each, of two rows.
const PER_THREAD: u32 = 8;

/// Whose result it is.
pub struct Piece {
    /// Index of the request.
    pub request: u32,
    /// Slot of the partial buffers; `None` if the piece is the whole request.
    pub slot: Option<u32>,
}

/// This thread's columns of an output tile, in 16 bits: `[row][chunk]`, two columns each.
type Packed = [[u32; 32]; 2];

/// Writes half of a tile's result, the columns from `first_column` on, and with `log2_sum` the LSE: to the output, or
/// to the partial buffers, where it is then counted as arrived.
///
/// # Safety
/// All threads of a warpgroup call it, converged; the buffers of `params` are writable.
#[inline(always)]
pub unsafe fn store<E: Element>(
    params: &DenseDecodeParams,
    tile: &Tile,
    piece: &Piece,
    first_column: u32,
    o: &Acc256,
    normaliser: [f32; 2],
    log2_sum: Option<[f32; 2]>,
) {
    let packed = pack::<E>(o, normaliser);
    // SAFETY: the caller's promise.
    unsafe {
        match piece.slot {
            None => {
                store_output(params, tile, piece.request, first_column, &packed);
                if let Some(log2_sum) = log2_sum {
                    store_lse(
                        tile,
                        log2_sum,
                        |row| lse_address(params, tile, piece.request, row),
                        LN_2,
                    );
                }
            }
            Some(slot) => {
                store_partial(params, tile, slot, first_column, &packed);
                if let Some(log2_sum) = log2_sum {
                    store_lse(tile, log2_sum, |row| partial_lse(params, tile, slot, row), 1.0);
                }
                arrive(params, tile, piece.request);
            }
        }
    }
}

#[inline(always)]
fn pack<E: Element>(o: &Acc256, normaliser: [f32; 2]) -> Packed {
    let mut packed = [[0; 32]; 2];
    seq!(R in 0..2 {
        let scale = normaliser[R];
        seq!(N in 0..32 {
            packed[R][N] = E::pack(o[4 * N + 2 * R] * scale, o[4 * N + 2 * R + 1] * scale);
        });
    });
    packed
}

/// Writes to the output, 16 bytes at a time.
#[inline(always)]
unsafe fn store_output(
    params: &DenseDecodeParams,
    tile: &Tile,
    request: u32,
    first_column: u32,
    packed: &Packed,
) {
    let column = first_column + special::lane() % 4 * CHUNK;
    seq!(R in 0..2 {
        let row = rows::fragment_rows()[R];
        let out = output_row(params, tile, request, row).wrapping_add(column as usize);
        seq!(G in 0..8 {
            let [a, b, c, d] = [0, 1, 2, 3].map(|c| packed[R][4 * G + c]);
            let chunk = quad::transpose([a, b, c, d]);
            if tile.contains(row) {
                // SAFETY: columns of an existing row; rows of the output are aligned to 16 bytes.
                unsafe { global::store_u32x4(out.wrapping_add(4 * CHUNK as usize * G).cast(), chunk) };
            }
        });
    });
}

/// Writes to the partial buffer, as the registers are: 512 consecutive bytes a warp.
#[inline(always)]
unsafe fn store_partial(
    params: &DenseDecodeParams,
    tile: &Tile,
    slot: u32,
    first_column: u32,
    packed: &Packed,
) {
    if !tile.contains(rows::first_row_of_warp()) {
        return;
    }
    let thread = special::thread_index() % WARPGROUP;
    let first = partial_pair(params, tile, slot, first_column / CHUNK / 2, thread);
    seq!(P in 0..16 {
        let [upper, lower] = packed;
        let words = [upper[2 * P], lower[2 * P], upper[2 * P + 1], lower[2 * P + 1]];
        // SAFETY: slot and pair are inside the partial buffer.
        unsafe { global::store_u32x4(first.wrapping_add(P * (WARPGROUP * PER_THREAD) as usize).cast(), words) };
    });
}

/// Writes the LSE of the tile's rows to where `address` says, times `unit`.
#[inline(always)]
unsafe fn store_lse(tile: &Tile, log2_sum: [f32; 2], address: impl Fn(u32) -> *mut f32, unit: f32) {
    if !special::lane().is_multiple_of(4) {
        return;
    }
    seq!(R in 0..2 {
        let row = rows::fragment_rows()[R];
        if tile.contains(row) {
            // SAFETY: the row exists.
            unsafe { global::store_f32(address(row), log2_sum[R] * unit) };
        }
    });
}

/// Counts this warp's part of a partial result.
#[inline(always)]
unsafe fn arrive(params: &DenseDecodeParams, tile: &Tile, request: u32) {
    warp::sync();
    if special::lane() == 0 {
        // SAFETY: the caller's promise.
        unsafe { global::add_release_u32(arrivals(params, tile, request), 1) };
    }
}

/// The counter of a tile of a request.
#[inline(always)]
pub fn arrivals(params: &DenseDecodeParams, tile: &Tile, request: u32) -> *mut u32 {
    let index = u64::from(request) * u64::from(params.rows.tiles()) + u64::from(tile.index);
    (params.arrivals as *mut u32).wrapping_add(index as usize)
}

/// The first column of an output row.
#[inline(always)]
pub fn output_row(params: &DenseDecodeParams, tile: &Tile, request: u32, row: u32) -> *mut u16 {
    let offset = u64::from(request) * params.out_stride_batch
        + u64::from(tile.token(row)) * params.out_stride_token
        + u64::from(tile.head(row)) * params.out_stride_head;
    (params.out as *mut u16).wrapping_add(offset as usize)
}

/// Address of the LSE of row `row` of the tile.
#[inline(always)]
pub fn lse_address(params: &DenseDecodeParams, tile: &Tile, request: u32, row: u32) -> *mut f32 {
    let offset = u64::from(request) * params.lse_stride_batch
        + u64::from(tile.head(row)) * params.lse_stride_head
        + u64::from(tile.token(row));
    (params.lse as *mut f32).wrapping_add(offset as usize)
}

/// Where the partial LSE of row `row` is kept.
#[inline(always)]
pub fn partial_lse(params: &DenseDecodeParams, tile: &Tile, slot: u32, row: u32) -> *mut f32 {
    let offset = partial_tile(params, tile, slot) * 64 + u64::from(row);
    (params.partial_lse as *mut f32).wrapping_add(offset as usize)
}

/// Where the eight elements of a pair of chunks of a partial output are kept that thread `thread` of a warpgroup
/// holds: two columns of the first chunk in its two rows, then two of the second.
#[inline(always)]
pub fn partial_pair(
    params: &DenseDecodeParams,
    tile: &Tile,
    slot: u32,
    pair: u32,
    thread: u32,
) -> *mut u16 {
    let pair = partial_tile(params, tile, slot) * u64::from(PAIRS) + u64::from(pair);
    let thread = pair * u64::from(WARPGROUP) + u64::from(thread);
    (params.partial_out as *mut u16).wrapping_add(thread as usize * PER_THREAD as usize)
}

/// Index of the tile in the partial buffers `[slots, tiles]`.
#[inline(always)]
fn partial_tile(params: &DenseDecodeParams, tile: &Tile, slot: u32) -> u64 {
    u64::from(slot) * u64::from(params.rows.tiles()) + u64::from(tile.index)
}
