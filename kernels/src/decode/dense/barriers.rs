//! Set-up of the mbarriers, the position in the ring of K blocks, and the exchange between the two
//! warpgroups.

use super::config::*;
use crate::decode::ring;
use crate::ptx::{barrier, fence, mbarrier, special, warp};

/// Initialises all mbarriers and makes them visible to the CTA and to TMA. `LANDINGS` arrivals say that a load unit is
/// there.
///
/// # Safety
/// All threads of the CTA call it, first of all.
#[inline(always)]
pub unsafe fn init<const LANDINGS: u32>(shared: u32) {
    const WARPS: u32 = WARPGROUP / 32;
    if special::thread_index() == 0 {
        // SAFETY: 8-byte aligned, inside shared memory, not yet in use.
        unsafe {
            mbarrier::init(shared + Q_FULL, 1);
            mbarrier::init(shared + Q_EMPTY, WARPS);
            let mut stage = 0;
            while stage < STAGES {
                mbarrier::init(shared + LEFT_FULL + 8 * stage, LANDINGS);
                mbarrier::init(shared + LEFT_EMPTY + 8 * stage, WARPS);
                mbarrier::init(shared + RIGHT_FULL + 8 * stage, LANDINGS);
                mbarrier::init(shared + RIGHT_EMPTY + 8 * stage, WARPS);
                stage += 1;
            }
            mbarrier::init(shared + TASK_FULL, 1);
            mbarrier::init(shared + TASK_EMPTY, 2 * WARPS);
        }
        fence::mbarrier_init();
    }
    // SAFETY: all threads are here.
    unsafe { barrier::sync_threads() };
}

/// Position in the ring of K blocks.
pub type Ring = ring::Ring<STAGES>;

impl Ring {
    /// Address of tile `tile` of the current block.
    #[inline(always)]
    pub fn tile(&self, shared: u32, tile: u32) -> u32 {
        shared + K + self.index * BLOCK_BYTES + tile * crate::tile::swizzle::TILE_BYTES
    }

    /// Address of the current block's header in the array at `headers`.
    #[inline(always)]
    pub fn header(&self, shared: u32, headers: u32) -> u32 {
        shared + headers + HEADER_BYTES * self.index
    }
}

/// One arrival per warp, after all its lanes are done with the buffer.
///
/// # Safety
/// All lanes call it, converged; `barrier` counts an arrival of each warp of this one's role.
#[inline(always)]
pub unsafe fn release(barrier: u32) {
    // SAFETY: the caller's promise.
    unsafe { release_all([barrier]) };
}

/// The same for several buffers.
///
/// # Safety
/// As for [`release`].
#[inline(always)]
pub unsafe fn release_all<const N: usize>(barriers: [u32; N]) {
    // An arrival orders what its own thread has read and written, and nothing of the other lanes.
    warp::sync();
    if special::lane() == 0 {
        let mut i = 0;
        while i < N {
            // SAFETY: the caller's promise.
            unsafe { mbarrier::arrive(barriers[i]) };
            i += 1;
        }
    }
}

/// The left warpgroup's end of the exchange of P and row factors: publish, and before the next time wait
/// until they have been consumed.
pub struct Publisher {
    pending: bool,
}

impl Publisher {
    /// Nothing published yet.
    #[inline(always)]
    pub const fn new() -> Self {
        Self { pending: false }
    }

    /// Waits until what was published last has been consumed.
    ///
    /// # Safety
    /// All threads of the left warpgroup call it, converged.
    #[inline(always)]
    pub unsafe fn wait_consumed(&mut self) {
        if self.pending {
            // SAFETY: both warpgroups take part, 256 threads.
            unsafe { barrier::sync::<CONSUMED, { 2 * WARPGROUP }>() };
            self.pending = false;
        }
    }

    /// Publishes what this thread has written to P and the row factors.
    ///
    /// # Safety
    /// All threads of the left warpgroup call it, converged, after `wait_consumed`.
    #[inline(always)]
    pub unsafe fn publish(&mut self) {
        fence::proxy_async_shared();
        // SAFETY: the caller's promise.
        unsafe { self.announce() };
    }

    /// Publishes what no multiply reads from shared memory.
    ///
    /// # Safety
    /// As for [`publish`](Self::publish).
    #[inline(always)]
    pub unsafe fn announce(&mut self) {
        // SAFETY: both warpgroups take part, 256 threads.
        unsafe { barrier::arrive::<PUBLISHED, { 2 * WARPGROUP }>() };
        self.pending = true;
    }
}

/// Waits until the left warpgroup has published.
///
/// # Safety
/// All threads of the right warpgroup call it, converged.
#[inline(always)]
pub unsafe fn wait_published() {
    // SAFETY: both warpgroups take part, 256 threads.
    unsafe { barrier::sync::<PUBLISHED, { 2 * WARPGROUP }>() };
}

/// Gives P and the row factors back to the left warpgroup.
///
/// # Safety
/// All threads of the right warpgroup call it, converged, once for each `wait_published`.
#[inline(always)]
pub unsafe fn consumed() {
    // SAFETY: both warpgroups take part, 256 threads.
    unsafe { barrier::arrive::<CONSUMED, { 2 * WARPGROUP }>() };
}
