//! Set-up of the mbarriers, and where the places of a block are.

use super::config::*;
use crate::decode::dense::config::{HEADER_BYTES, QK_TILES, WARPGROUP};
use crate::decode::ring::Ring;
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

impl Ring<STAGES> {
    /// Address of the current block's V.
    #[inline(always)]
    pub fn tiles(&self, shared: u32) -> u32 {
        shared + V + self.index * HALF_BYTES
    }

    /// Address of the current block's header.
    #[inline(always)]
    pub fn header(&self, shared: u32) -> u32 {
        shared + V_HEADERS + HEADER_BYTES * self.index
    }
}

/// Where the two halves of the columns of a block are in the CTA of rank `rank`, whose V is at `v`: one of them is V.
#[inline(always)]
pub fn halves(shared: u32, rank: u32, v: u32) -> [u32; 2] {
    let k = shared + K;
    if rank == 0 { [v, k] } else { [k, v] }
}
