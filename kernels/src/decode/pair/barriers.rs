//! Set-up of the mbarriers, and the positions in the rings.

use super::config::*;
use crate::decode::dense::config::{QK_TILES, WARPGROUP};
use crate::ptx::{cluster, fence, mbarrier, special};

/// Warps of a warpgroup.
const WARPS: u32 = WARPGROUP / 32;

/// Initialises all mbarriers and makes them visible to both CTAs and to TMA.
///
/// # Safety
/// All threads of the cluster call it, first of all.
#[inline(always)]
pub unsafe fn init(shared: u32) {
    if special::thread_index() == 0 {
        // SAFETY: 8-byte aligned, inside shared memory, not yet in use.
        unsafe {
            mbarrier::init(shared + Q_FULL, 1);
            mbarrier::init(shared + Q_EMPTY, WARPS);
            init_array(shared + FULL, PARTS, 1);
            init_array(shared + SCORED, QK_TILES, WARPS);
            init_array(shared + V_READY, STAGES, WARPS);
            init_array(shared + V_EMPTY, STAGES, 2 * WARPS);
            init_array(shared + INBOX_FULL, MESSAGES, 1);
            init_array(shared + OUTBOX_EMPTY, MESSAGES, WARPS);
            mbarrier::init(shared + DESK.full, 1);
            mbarrier::init(shared + DESK.empty, 2 * WARPS);
        }
        fence::mbarrier_init();
    }
    // SAFETY: all threads of the cluster are here.
    unsafe {
        cluster::arrive();
        cluster::wait();
    }
}

#[inline(always)]
unsafe fn init_array(first: u32, count: u32, arrivals: u32) {
    let mut i = 0;
    while i < count {
        // SAFETY: the caller's promise.
        unsafe { mbarrier::init(first + 8 * i, arrivals) };
        i += 1;
    }
}

/// Position in a ring of `LENGTH`, and the parity of its current use. Every role goes over the same blocks in the
/// same order and so keeps its own.
#[derive(Clone, Copy)]
pub struct Ring<const LENGTH: u32> {
    /// The place.
    pub index: u32,
    /// Parity of the phase in which it is filled.
    pub parity: u32,
}

impl<const LENGTH: u32> Ring<LENGTH> {
    /// Before the first use.
    #[inline(always)]
    pub const fn new() -> Self {
        Self { index: 0, parity: 0 }
    }

    /// Goes on to the next place.
    #[inline(always)]
    pub fn advance(&mut self) {
        self.index += 1;
        if self.index == LENGTH {
            self.index = 0;
            self.parity ^= 1;
        }
    }

    /// Address of this place's barrier in the array at `barriers`.
    #[inline(always)]
    pub fn barrier(&self, shared: u32, barriers: u32) -> u32 {
        shared + barriers + 8 * self.index
    }
}

impl Ring<STAGES> {
    /// Address of the current block's V.
    #[inline(always)]
    pub fn tiles(&self, shared: u32) -> u32 {
        shared + V + self.index * HALF_BYTES
    }

    /// Address of the current block's header.
    #[inline(always)]
    pub fn header(&self, shared: u32) -> u32 {
        shared + V_HEADERS + 16 * self.index
    }
}

/// Where the two halves of the columns of a block are in the CTA of rank `rank`, whose V is at `v`: one of them is V.
#[inline(always)]
pub fn halves(shared: u32, rank: u32, v: u32) -> [u32; 2] {
    let k = shared + K;
    if rank == 0 { [v, k] } else { [k, v] }
}
