//! The block table, as the producers read it.

use super::walk::Piece;
use crate::abi::DenseDecodeParams;
use crate::ptx::{global, special};

/// Brings the block table into L2 while the lengths are on their way, from which follows what of it is needed:
/// every CTA its 4 KB, so that all of a small batch's is there.
#[inline(always)]
pub fn prefetch(params: &DenseDecodeParams) {
    const LINE: u64 = 128 / 4;
    let cta = special::cta_y() * params.rows.tiles() + special::cta_x();
    let entry = u64::from(cta * 32 + special::lane()) * LINE;
    if entry < u64::from(params.batch) * u64::from(params.table_stride) {
        // SAFETY: an entry of the table.
        unsafe {
            global::prefetch((params.block_table as *const i32).wrapping_add(entry as usize))
        };
    }
}

/// Ids of the 32 blocks from `block` on, one in each lane: one round trip for 32 blocks.
///
/// # Safety
/// The block table is valid; `block` is one of the piece.
#[inline(always)]
pub unsafe fn next_ids(params: &DenseDecodeParams, piece: &Piece, block: u32) -> u32 {
    let mine = block + special::lane();
    if mine >= piece.blocks.end {
        return 0;
    }
    let entry = u64::from(piece.request) * u64::from(params.table_stride) + u64::from(mine);
    // SAFETY: an entry for a block that holds cached tokens.
    unsafe { global::load_i32((params.block_table as *const i32).add(entry as usize)) as u32 }
}
