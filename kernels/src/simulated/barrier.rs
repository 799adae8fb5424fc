//! Named barriers.

use oxmla_simt::barrier;

#[track_caller]
pub unsafe fn sync_threads() {
    barrier::sync_threads();
}

#[track_caller]
pub unsafe fn sync<const ID: u32, const THREADS: u32>() {
    barrier::sync(ID, THREADS);
}

#[track_caller]
pub unsafe fn arrive<const ID: u32, const THREADS: u32>() {
    barrier::arrive(ID, THREADS);
}
