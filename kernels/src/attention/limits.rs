//! What the rows of a tile do not see of the last blocks of a request.

use super::rows::{self, Tile};
use super::softmax;
use crate::decode::schedule::BLOCK_TOKENS;
use crate::ptx::wgmma::Acc64;

/// How many tokens at the end of a request the two rows of this thread do not see.
pub struct Limits {
    hidden: [i32; 2],
    /// The first row of the tile sees no more than any other.
    most: i32,
}

impl Limits {
    /// Those of this thread's rows of `tile`.
    #[inline(always)]
    pub fn new(tile: &Tile) -> Self {
        let rows = rows::fragment_rows();
        Self { hidden: [tile.hidden(rows[0]), tile.hidden(rows[1])], most: tile.hidden(0) }
    }

    /// Hides what the rows do not see of a block from which on the request has `tokens`; nothing in most blocks.
    #[inline(always)]
    pub fn mask(&self, scores: &mut Acc64, tokens: i32) {
        if BLOCK_TOKENS as i32 > tokens - self.most {
            softmax::mask(scores, [tokens - self.hidden[0], tokens - self.hidden[1]]);
        }
    }
}
