//! Which lists a CTA attends to: decode and prefill.

use super::abi::SparseParams;
use super::lists;
use crate::attention::rows::Tile;
use crate::attention::sink::Sinks;
use crate::decode::merge::{self, Desk};
use crate::decode::schedule;
use crate::decode::walk::{Piece, Requests, Walk, same_length};
use crate::tile::element::Element;

/// The two ways of going through the lists of a launch.
pub trait Work {
    /// What goes through the pieces of a part.
    type Pieces<'a>: Pieces + Clone;
    /// Whether lists are split and merged.
    const SPLITS: bool;
    /// Whether the largest score of each row may be wanted.
    const MAXIMA: bool;

    /// The pieces of `part`.
    ///
    /// # Safety
    /// All lanes of the warp call it, converged; the parameters are valid for the launch.
    unsafe fn pieces(params: &SparseParams, part: u32) -> Self::Pieces<'_>;

    /// The producer's end: hands out the merge of the split lists among `pieces`.
    ///
    /// # Safety
    /// As for [`merge::hand_out`].
    unsafe fn hand_out(params: &SparseParams, tile: &Tile, pieces: Self::Pieces<'_>, desk: Desk);

    /// The end of the multiplying warpgroups: merges.
    ///
    /// # Safety
    /// As for [`merge::run`].
    unsafe fn merge<E: Element>(params: &SparseParams, tile: &Tile, desk: Desk);

    /// The end of the gatherers, three warps: results of query tokens that are in no piece.
    ///
    /// # Safety
    /// As for [`merge::clear_empty_requests`].
    unsafe fn clear_empty<E: Element>(params: &SparseParams, tile: &Tile, part: u32, warp: u32);
}

/// Pieces one after the other.
pub trait Pieces {
    /// The next, or `None` at the end.
    ///
    /// # Safety
    /// All lanes of the warp call it, converged.
    unsafe fn next(&mut self) -> Option<Piece>;
}

impl<R: Requests> Pieces for Walk<R> {
    #[inline(always)]
    unsafe fn next(&mut self) -> Option<Piece> {
        // SAFETY: the caller's promise.
        unsafe { Walk::next(self) }
    }
}

impl Requests for &SparseParams {
    #[inline(always)]
    fn decode(&self) -> &crate::abi::DenseDecodeParams {
        &self.decode
    }

    #[inline(always)]
    unsafe fn length(&self, request: u32) -> i32 {
        // SAFETY: the caller's promise.
        unsafe { lists::length(self, request) }
    }
}

/// Few query tokens: all of their lists together are divided evenly.
pub struct Decode;

impl Work for Decode {
    type Pieces<'a> = Walk<&'a SparseParams>;
    const SPLITS: bool = true;
    const MAXIMA: bool = false;

    #[inline(always)]
    unsafe fn pieces(params: &SparseParams, part: u32) -> Self::Pieces<'_> {
        // SAFETY: the caller's promise.
        unsafe { Walk::new(params, part) }
    }

    #[inline(always)]
    unsafe fn hand_out(params: &SparseParams, tile: &Tile, pieces: Self::Pieces<'_>, desk: Desk) {
        // SAFETY: the caller's promise.
        unsafe { merge::hand_out(&params.decode, tile, pieces, desk) };
    }

    #[inline(always)]
    unsafe fn merge<E: Element>(params: &SparseParams, tile: &Tile, desk: Desk) {
        // SAFETY: the caller's promise.
        unsafe { merge::run::<E>(&params.decode, tile, Sinks(params.sink), desk) };
    }

    #[inline(always)]
    unsafe fn clear_empty<E: Element>(params: &SparseParams, tile: &Tile, part: u32, warp: u32) {
        // SAFETY: the caller's promise.
        unsafe { merge::clear_empty_requests::<E, _>(&params, tile, part, warp) };
    }
}

/// Many query tokens: a CTA takes every `parts`-th of them, with its whole list.
pub struct Prefill;

impl Work for Prefill {
    type Pieces<'a> = Strides<'a>;
    const SPLITS: bool = false;
    const MAXIMA: bool = true;

    #[inline(always)]
    unsafe fn pieces(params: &SparseParams, part: u32) -> Self::Pieces<'_> {
        Strides { params, request: part }
    }

    #[inline(always)]
    unsafe fn hand_out(_: &SparseParams, _: &Tile, _: Self::Pieces<'_>, _: Desk) {}

    #[inline(always)]
    unsafe fn merge<E: Element>(_: &SparseParams, _: &Tile, _: Desk) {}

    #[inline(always)]
    unsafe fn clear_empty<E: Element>(_: &SparseParams, _: &Tile, _: u32, _: u32) {}
}

/// Every `parts`-th query token.
#[derive(Clone)]
pub struct Strides<'a> {
    params: &'a SparseParams,
    request: u32,
}

impl Pieces for Strides<'_> {
    /// An empty list is a block in which nothing counts: that is rare, and then every result is written in one place.
    #[inline(always)]
    unsafe fn next(&mut self) -> Option<Piece> {
        let (request, decode) = (self.request, &self.params.decode);
        if request >= decode.batch {
            return None;
        }
        self.request += decode.parts;
        // SAFETY: inside the batch.
        let length = unsafe { same_length(&self.params, request) };
        Some(Piece { request, length, blocks: 0..schedule::blocks(length).max(1), slot: None })
    }
}
