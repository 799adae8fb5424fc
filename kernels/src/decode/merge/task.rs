//! What the producer hands out.

use crate::decode::schedule::{Slots, Split};
use crate::decode::walk::Shared;
use crate::ptx::shared;
use crate::tile::uniform;

/// A CTA's share of a tile of a split request.
#[derive(Clone, Copy)]
pub struct Task {
    /// Index of the request in the batch.
    pub request: u32,
    /// Partial results of the tile.
    pub pieces: u32,
    /// CTAs that share it; 0 when there are no more tasks.
    pub parts: u32,
    /// Which of them this is.
    pub index: u32,
    /// Where the partial results are kept.
    pub slots: Slots,
}

impl Task {
    /// No more tasks.
    pub const END: Self = Self { request: 0, pieces: 0, parts: 0, index: 0, slots: Slots::NONE };

    /// What part `index` of those that share a request does.
    #[inline(always)]
    pub fn new(Shared { request, index, split }: &Shared) -> Self {
        let Split { pieces, parts, slots, .. } = *split;
        Self { request: *request, pieces, parts, index: *index, slots }
    }

    /// Writes it.
    #[inline(always)]
    pub unsafe fn store(&self, address: u32) {
        let Self { request, pieces, parts, index, slots } = *self;
        let Slots { first, others, stride } = slots;
        // SAFETY: the caller's promise.
        unsafe {
            shared::store_u32x4(address, [request, pieces, parts, index]);
            shared::store_u32x4(address + 16, [first, others, stride, 0]);
        }
    }

    /// Reads it.
    #[inline(always)]
    pub unsafe fn load(address: u32) -> Self {
        // SAFETY: the caller's promise.
        let words = unsafe { [address, address + 16].map(|at| uniform::load_u32x4(at)) };
        let [[request, pieces, parts, index], [first, others, stride, _]] = words;
        Self { request, pieces, parts, index, slots: Slots { first, others, stride } }
    }
}
