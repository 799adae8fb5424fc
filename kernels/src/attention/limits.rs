//! What limits the scores of a tile: what its rows do not see of the last blocks of a request, and, in kernels of their
//! own, windows and a soft cap.

use super::rows::{self, Tile};
use super::{softcap, softmax};
use crate::abi::DenseDecodeParams;
use crate::decode::schedule::K_BLOCK;
use crate::ptx::wgmma::Acc64;

/// What a kernel limits scores by. Known when it is compiled: the code for windows and caps, 360 to 376 instructions,
/// would be fetched in calls of 10 µs that have no use for it.
pub trait Limits {
    /// Whether there may be a window or a soft cap.
    const LIMITED: bool;

    /// Those of this thread's rows of `tile`.
    fn new(tile: &Tile) -> Self;

    /// Limits the scores of a block from which on the request has `tokens`; most blocks have nothing to hide. `scales` says
    /// by what to multiply them in the two rows for a scale of all; what then brings them to powers of two.
    fn apply(
        &self,
        scores: &mut Acc64,
        params: &DenseDecodeParams,
        tokens: i32,
        scales: impl Fn(f32) -> [f32; 2],
    ) -> [f32; 2];
}

/// Rows see everything up to an end: that of the request or, under a causal mask, their own.
pub struct Plain {
    hidden: [i32; 2],
    /// The first row of the tile sees no more than any other.
    most: i32,
}

impl Limits for Plain {
    const LIMITED: bool = false;

    #[inline(always)]
    fn new(tile: &Tile) -> Self {
        let rows = rows::fragment_rows();
        Self { hidden: [tile.hidden(rows[0]), tile.hidden(rows[1])], most: tile.hidden(0) }
    }

    #[inline(always)]
    fn apply(
        &self,
        scores: &mut Acc64,
        params: &DenseDecodeParams,
        tokens: i32,
        scales: impl Fn(f32) -> [f32; 2],
    ) -> [f32; 2] {
        if K_BLOCK as i32 > tokens - self.most {
            softmax::mask(scores, [tokens - self.hidden[0], tokens - self.hidden[1]]);
        }
        scales(params.scale_log2)
    }
}

/// Rows see what is inside a window, and scores may be capped. Both ends are counted from the end of a request.
pub struct Limited {
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

impl Limits for Limited {
    const LIMITED: bool = true;

    #[inline(always)]
    fn new(tile: &Tile) -> Self {
        let rows = rows::fragment_rows();
        // The first row of the tile sees no more at the end than any other, the last no more at the beginning.
        let least = K_BLOCK + tile.hidden(0) as u32;
        let most = tile.window() + tile.later_tokens(63) as u32;
        Self {
            later: rows.map(|row| tile.later_tokens(row)),
            causal: tile.causal(),
            window: tile.window(),
            least,
            unlimited: most.saturating_sub(least - 1),
        }
    }

    #[inline(always)]
    fn apply(
        &self,
        scores: &mut Acc64,
        params: &DenseDecodeParams,
        tokens: i32,
        scales: impl Fn(f32) -> [f32; 2],
    ) -> [f32; 2] {
        let mut scales_log2 = scales(params.scale_log2);
        // Before the mask, for the tangent of −∞ is −1.
        if params.softcap != 0.0 {
            softcap::apply(scores, scales(params.softcap));
            scales_log2 = [params.scale_log2; 2];
        }
        self.mask(scores, tokens);
        scales_log2
    }
}

impl Limited {
    #[inline(always)]
    fn mask(&self, scores: &mut Acc64, tokens: i32) {
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
