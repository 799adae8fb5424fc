//! What the producer tells the multiplying warpgroups along with each load unit.
//!
//! The producer alone follows the schedule; the others do what the headers say. They need no lengths, no divisions and
//! no registers for it, and no instructions: in a kernel that runs for 10 µs most of these are fetched for the first
//! time (`docs/performance-notes.md`, 15).

use crate::ptx::shared;
use crate::tile::uniform;

/// The block is the last of its piece.
const LAST: u32 = 1;
/// There is no block, and none will follow.
const END: u32 = 2;
/// First bit of the exponent of the unit that tiles count in; 8 bits.
const UNIT: u32 = 8;
/// First bit of the number of hidden rows; 8 bits.
const HIDDEN: u32 = 16;
/// First bit of how many powers of two the unit is above that of the block before; 8 bits.
const RISEN: u32 = 24;
/// What a field has.
const FIELD: u32 = 0xff;
/// Instead of a slot: the piece is the whole request.
const WHOLE: u32 = u32::MAX;

/// What is to be known about a block.
#[derive(Clone, Copy)]
pub struct Header {
    /// Cached tokens of the request from the block's first on.
    pub tokens: i32,
    /// Index of the request in the batch.
    pub request: u32,
    flags: u32,
    slot: u32,
}

impl Header {
    /// The header of a block whose piece goes to `slot`, if it is not the whole request.
    #[inline(always)]
    pub fn new(tokens: i32, request: u32, slot: Option<u32>, is_last: bool) -> Self {
        let flags = if is_last { LAST } else { 0 };
        let slot = match slot {
            Some(slot) => slot,
            None => WHOLE,
        };
        Self { tokens, request, flags, slot }
    }

    /// The same, for a block whose first `rows` rows no query token sees.
    #[inline(always)]
    pub fn hiding(self, rows: u32) -> Self {
        Self { flags: self.flags | rows << HIDDEN, ..self }
    }

    /// What stands at the end.
    #[inline(always)]
    pub fn end() -> Self {
        Self { tokens: 0, request: 0, flags: END, slot: WHOLE }
    }

    /// Whether there is no block.
    #[inline(always)]
    pub fn is_end(&self) -> bool {
        self.flags & END != 0
    }

    /// Whether the block is the last of its piece.
    #[inline(always)]
    pub fn is_last(&self) -> bool {
        self.flags & LAST != 0
    }

    /// Rows at the beginning of the block that no query token sees: only the first block of a request behind a window
    /// has any.
    #[inline(always)]
    pub fn hidden(&self) -> u32 {
        self.flags >> HIDDEN & FIELD
    }

    /// Where the partial result of the piece goes; `None` if the piece is the whole request.
    #[inline(always)]
    pub fn slot(&self) -> Option<u32> {
        (self.slot != WHOLE).then_some(self.slot)
    }

    /// The header of a block whose tiles count in the power of two with the exponent field `exponent`, 2^`risen` of those
    /// that the block before counts in.
    #[inline(always)]
    pub fn in_unit(mut self, exponent: u32, risen: u32) -> Self {
        self.flags |= exponent << UNIT | risen << RISEN;
        self
    }

    /// The exponent field of the power of two that the tiles of the block count in.
    #[inline(always)]
    pub fn unit(&self) -> u32 {
        self.flags >> UNIT & FIELD
    }

    /// How many powers of two it is above that of the block before.
    #[inline(always)]
    pub fn risen(&self) -> u32 {
        self.flags >> RISEN
    }

    /// Writes it.
    ///
    /// # Safety
    /// `address` is that of an unused header in shared memory.
    #[inline(always)]
    pub unsafe fn store(&self, address: u32) {
        let words = [self.tokens as u32, self.request, self.flags, self.slot];
        // SAFETY: the caller's promise.
        unsafe { shared::store_u32x4(address, words) };
    }

    /// Reads it.
    ///
    /// # Safety
    /// All lanes of a warp call it, converged, after they have waited for the load unit of the header at `address`.
    #[inline(always)]
    pub unsafe fn load(address: u32) -> Self {
        // SAFETY: the caller's promise.
        let [tokens, request, flags, slot] = unsafe { uniform::load_u32x4(address) };
        Self { tokens: tokens as i32, request, flags, slot }
    }
}
