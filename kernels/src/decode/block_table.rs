//! The block table, as the producers read it.

use super::schedule::K_BLOCK;
use super::walk::Piece;
use crate::abi::{DenseDecodeParams, Paging};
use crate::ptx::{global, special, warp};

/// Instead of an id: TMA finds no such block, and fills the box with zeros.
const NO_BLOCK: u32 = u32::MAX;

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

/// Ids of 32 blocks that follow each other in a request, one in each lane: one round trip for 32 blocks.
pub struct Ids {
    /// The first of them, counted from the beginning of the request.
    first: u32,
    mine: u32,
}

impl Ids {
    /// Those from the first K block of `piece` on.
    ///
    /// # Safety
    /// All lanes call it, converged; the block table is valid.
    #[inline(always)]
    pub unsafe fn first(params: &DenseDecodeParams, piece: &Piece) -> Self {
        let first = block_of(&params.paging, piece.blocks.start);
        // SAFETY: the caller's promise.
        Self { first, mine: unsafe { load(params, piece, first + special::lane()) } }
    }

    /// The boxes of K block `k_block` of the piece; K blocks come one after the other.
    ///
    /// # Safety
    /// As for [`Ids::first`]; the K block is one of the piece.
    #[inline(always)]
    pub unsafe fn boxes(
        &mut self,
        params: &DenseDecodeParams,
        piece: &Piece,
        k_block: u32,
    ) -> Boxes {
        let paging = params.paging;
        let block = block_of(&paging, k_block);
        if block.wrapping_sub(self.first) >= 32 {
            self.first = block;
            // SAFETY: the caller's promise.
            self.mine = unsafe { load(params, piece, block + special::lane()) };
        }
        // A K block has 1, 2 or 4 boxes: what of it is in these 32 blocks is all of it.
        let lane = block - self.first;
        let token = (k_block * K_BLOCK) & (paging.block_size() - 1);
        Boxes { ids: self.mine, lane, id: warp::broadcast(self.mine, lane), token, paging }
    }
}

/// The block that the first token of a K block lies in.
#[inline(always)]
fn block_of(paging: &Paging, k_block: u32) -> u32 {
    (k_block * K_BLOCK) >> paging.block_log2
}

/// Id of block `block` of the piece's request, if it holds tokens.
#[inline(always)]
unsafe fn load(params: &DenseDecodeParams, piece: &Piece, block: u32) -> u32 {
    let first_token = block << params.paging.block_log2;
    if first_token >= piece.length as u32 {
        return NO_BLOCK;
    }
    let entry = u64::from(piece.request) * u64::from(params.table_stride) + u64::from(block);
    // SAFETY: an entry for a block that holds cached tokens.
    unsafe { global::load_i32((params.block_table as *const i32).add(entry as usize)) as u32 }
}

/// The boxes that a K block comes in: the whole of it, or with smaller blocks several.
#[derive(Clone, Copy)]
pub struct Boxes {
    /// An id in each lane, and the lane that has that of the first box.
    ids: u32,
    lane: u32,
    id: u32,
    /// Token of its block that the first box begins with.
    token: u32,
    paging: Paging,
}

/// Some tokens of a K block that lie in one block.
#[derive(Clone, Copy)]
pub struct KBox {
    /// Id of the block.
    pub id: u32,
    /// Token of the block that they begin with.
    pub token: u32,
    /// Token of the K block that they begin with.
    pub row: u32,
}

impl Boxes {
    /// Lets the first lane load each of them.
    ///
    /// # Safety
    /// All lanes call it, converged.
    #[inline(always)]
    pub unsafe fn for_each(&self, load: impl Fn(KBox)) {
        let Self { mut lane, mut id, token, .. } = *self;
        let mut row = 0;
        loop {
            if special::lane() == 0 {
                load(KBox { id, token, row });
            }
            row += self.paging.box_rows;
            if row >= K_BLOCK {
                return;
            }
            lane += 1;
            id = warp::broadcast(self.ids, lane);
        }
    }
}
