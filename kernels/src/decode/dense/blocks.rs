//! What the blocks of K are to the multiplying warpgroups: consecutive tokens of a request here, tokens that a list names in
//! [`sparse`](crate::decode::sparse).

use core::ops::Range;

use super::barriers::Ring;
use super::config::QK_TILES;
use super::math::Math;
use crate::abi::DenseDecodeParams;
use crate::attention::limits::Limits;
use crate::attention::rows::Tile;
use crate::attention::softmax::{OnlineSoftmax, RowResult};
use crate::decode::header::Header;
use crate::decode::tail;
use crate::ptx::wgmma::Acc64;

/// Which tokens of a block count, and what is wanted of them.
pub trait Blocks {
    /// Tiles of Q and K, 64 dimensions each: all of K, or all but the rotary one.
    const TILES: u32;
    /// Whether a request may be in several pieces.
    const SPLITS: bool;
    /// Whether the largest score of each row is wanted.
    const MAXIMA: bool;

    /// Limits the scores of the ring's current block, products of `math`, and hides those of what the rows do not see; what
    /// then brings the two rows to powers of two.
    ///
    /// # Safety
    /// All lanes of a warp of the left warpgroup call it, converged, after they have waited for the left tiles.
    unsafe fn limit<M: Math>(
        &self,
        scores: &mut Acc64,
        math: &M,
        header: &Header,
        ring: &Ring,
        shared: u32,
    ) -> [f32; 2];

    /// Rows of the first block of a piece that may hold anything, and have to be cleared before V is multiplied.
    fn head(header: &Header) -> Option<Range<u32>>;

    /// The same of the last block.
    fn tail(header: &Header) -> Option<Range<u32>>;

    /// Closes the rows of a piece of `tile`, whose last header it is.
    ///
    /// # Safety
    /// All lanes of a warp of the left warpgroup call it, converged.
    unsafe fn finish(&self, softmax: OnlineSoftmax, tile: &Tile, header: &Header) -> RowResult;
}

/// Consecutive tokens, whose scores are limited by `L`.
pub struct Consecutive<'a, L> {
    params: &'a DenseDecodeParams,
    limits: L,
}

impl<'a, L: Limits> Consecutive<'a, L> {
    /// Those that the rows of `tile` see.
    #[inline(always)]
    pub fn new(params: &'a DenseDecodeParams, tile: &Tile) -> Self {
        Self { params, limits: L::new(tile) }
    }
}

impl<L: Limits> Blocks for Consecutive<'_, L> {
    const TILES: u32 = QK_TILES;
    const SPLITS: bool = true;
    const MAXIMA: bool = false;

    #[inline(always)]
    unsafe fn limit<M: Math>(
        &self,
        scores: &mut Acc64,
        math: &M,
        header: &Header,
        _ring: &Ring,
        _shared: u32,
    ) -> [f32; 2] {
        self.limits.apply(scores, self.params, header.tokens, |scale| math.scales(header, scale))
    }

    #[inline(always)]
    fn head(header: &Header) -> Option<Range<u32>> {
        tail::rows_before::<L>(header)
    }

    #[inline(always)]
    fn tail(header: &Header) -> Option<Range<u32>> {
        tail::rows(header.tokens)
    }

    #[inline(always)]
    unsafe fn finish(&self, softmax: OnlineSoftmax, _tile: &Tile, _header: &Header) -> RowResult {
        softmax.finish(None)
    }
}
