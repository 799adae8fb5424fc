//! Set-up of the mbarriers.

use super::config::*;
use crate::ptx::{barrier, fence, mbarrier, special};

/// Initialises all mbarriers and makes them visible to the CTA and to TMA.
///
/// # Safety
/// All threads of the CTA call it, first of all.
#[inline(always)]
pub unsafe fn init(shared: u32) {
    if special::thread_index() == 0 {
        // SAFETY: 8-byte aligned, inside shared memory, not yet in use.
        unsafe {
            mbarrier::init(shared + Q_FULL, 1);
            mbarrier::init(shared + Q_EMPTY, GROUP_WARPS);
            let mut stage = 0;
            while stage < STAGES {
                mbarrier::init(shared + KEYS_FULL + 8 * stage, 1);
                mbarrier::init(shared + KEYS_EMPTY + 8 * stage, GROUP_WARPS + TRANSPOSER_WARPS);
                mbarrier::init(shared + VALUES_FULL + 8 * stage, TRANSPOSER_WARPS);
                mbarrier::init(shared + VALUES_EMPTY + 8 * stage, 2 * GROUP_WARPS);
                stage += 1;
            }
            mbarrier::init(shared + TASK_FULL, 1);
            mbarrier::init(shared + TASK_EMPTY, 2 * GROUP_WARPS);
        }
        fence::mbarrier_init();
    }
    // SAFETY: all threads are here.
    unsafe { barrier::sync_threads() };
}
