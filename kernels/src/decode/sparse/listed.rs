//! Blocks of tokens that a list names, as the multiplying warpgroups see them.

use core::marker::PhantomData;
use core::ops::Range;

use seq_macro::seq;

use super::abi::SparseParams;
use super::config::*;
use super::work::Work;
use crate::attention::rows::{self, Tile};
use crate::attention::sink::Sinks;
use crate::attention::softmax::{OnlineSoftmax, RowResult};
use crate::decode::dense::barriers::Ring;
use crate::decode::dense::blocks::Blocks;
use crate::decode::dense::config::TILE;
use crate::decode::dense::math::Math;
use crate::decode::header::Header;
use crate::ptx::wgmma::Acc64;
use crate::ptx::{global, special};
use crate::tile::uniform;

/// Tokens that lists name.
pub struct Listed<'a, W, const D_QK: u32> {
    params: &'a SparseParams,
    work: PhantomData<W>,
}

impl<'a, W, const D_QK: u32> Listed<'a, W, D_QK> {
    /// Those of a launch.
    #[inline(always)]
    pub const fn new(params: &'a SparseParams) -> Self {
        Self { params, work: PhantomData }
    }
}

impl<W: Work, const D_QK: u32> Blocks for Listed<'_, W, D_QK> {
    const TILES: u32 = tiles(D_QK);
    const SPLITS: bool = W::SPLITS;
    const MAXIMA: bool = W::MAXIMA;

    #[inline(always)]
    unsafe fn limit<M: Math>(
        &self,
        scores: &mut Acc64,
        math: &M,
        header: &Header,
        ring: &Ring,
        shared: u32,
    ) -> [f32; 2] {
        let scales = math.scales(header, self.params.decode.scale_log2);
        if header.tokens == TILE as i32 {
            return scales;
        }
        // SAFETY: the caller's promise; the mask came with the left tiles.
        let mask = unsafe { uniform::load_u32x4(shared + MASKS + MASK_BYTES * ring.index) };
        let column = rows::fragment_column();
        let mine = [mask[0] >> column, mask[1] >> column];
        seq!(N in 0..32 {
            if mine[N / 16] >> (N / 4 % 4 * 8 + N % 2) & 1 == 0 {
                scores[N] = f32::NEG_INFINITY;
            }
        });
        scales
    }

    /// None: what is not named has been filled with zeros.
    #[inline(always)]
    fn head(_header: &Header) -> Option<Range<u32>> {
        None
    }

    #[inline(always)]
    fn tail(_header: &Header) -> Option<Range<u32>> {
        None
    }

    /// The sinks count once: here, or when pieces are merged.
    #[inline(always)]
    unsafe fn finish(&self, softmax: OnlineSoftmax, tile: &Tile, header: &Header) -> RowResult {
        let is_whole = !W::SPLITS || header.slot().is_none();
        let sinks = Sinks(if is_whole { self.params.sink } else { 0 });
        let result = softmax.finish(sinks.of_rows(tile, rows::fragment_rows()));
        if let Some(maximum) = result.maximum {
            // SAFETY: the caller's promise.
            unsafe { self.store_maxima(tile, header.request, maximum) };
        }
        result
    }
}

impl<W, const D_QK: u32> Listed<'_, W, D_QK> {
    /// Writes the largest scores of this thread's rows, if they are wanted; one thread of the four that share a row.
    #[inline(always)]
    unsafe fn store_maxima(&self, tile: &Tile, request: u32, maximum: [f32; 2]) {
        let SparseParams { max_logits, max_logits_stride_token, max_logits_stride_head, .. } =
            *self.params;
        if max_logits == 0 || !special::lane().is_multiple_of(4) {
            return;
        }
        seq!(R in 0..2 {
            let row = rows::fragment_rows()[R];
            if tile.contains(row) {
                let offset = u64::from(request) * max_logits_stride_token
                    + u64::from(tile.head(row)) * max_logits_stride_head;
                let address = (max_logits as *mut f32).wrapping_add(offset as usize);
                // SAFETY: an element for a row that exists.
                unsafe { global::store_f32(address, maximum[R] * core::f32::consts::LN_2) };
            }
        });
    }
}
