//! What the rows of a tile do not see of the last blocks of a request, and of the first behind a window.

use super::rows::{self, Tile};
use super::softmax;
use crate::decode::schedule::BLOCK_TOKENS;
use crate::ptx::wgmma::Acc64;

/// Where what the two rows of this thread see begins and ends, counted from the end of a request.
pub struct Limits {
    /// Query tokens of the request behind those of the two rows.
    later: [i32; 2],
    causal: bool,
    window: u32,
    /// Tokens from a block's first on with which all rows of the tile see the end of the block.
    least: u32,
    /// How many numbers of tokens from `least` on leave no row with anything to hide at the beginning of the block,
    /// either.
    unlimited: u32,
}

impl Limits {
    /// Those of this thread's rows of `tile`.
    #[inline(always)]
    pub fn new(tile: &Tile) -> Self {
        let rows = rows::fragment_rows();
        // The first row of the tile sees no more at the end than any other, the last no more at the beginning.
        let least = BLOCK_TOKENS + tile.hidden(0) as u32;
        let most = tile.window() + tile.later_tokens(63) as u32;
        Self {
            later: rows.map(|row| tile.later_tokens(row)),
            causal: tile.causal(),
            window: tile.window(),
            least,
            unlimited: most.saturating_sub(least - 1),
        }
    }

    /// Hides what the rows do not see of a block from which on the request has `tokens`; nothing in most blocks.
    #[inline(always)]
    pub fn mask(&self, scores: &mut Acc64, tokens: i32) {
        if (tokens as u32).wrapping_sub(self.least) >= self.unlimited {
            let hidden = self.later.map(|later| if self.causal { later } else { 0 });
            softmax::mask(scores, hidden.map(|hidden| tokens - hidden));
            if tokens as u32 > self.window {
                let seen = self.later.map(|later| self.window + later as u32);
                let first = seen.map(|seen| (tokens as u32).saturating_sub(seen) as i32);
                softmax::mask_before(scores, first);
            }
        }
    }
}
