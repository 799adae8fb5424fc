//! Copies by single threads.

use oxmla_simt::cp_async;

#[track_caller]
pub unsafe fn copy_16(destination: u32, source: u64, bytes: u32) {
    cp_async::copy(destination, source, 16, bytes);
}

#[track_caller]
pub unsafe fn copy_8(destination: u32, source: u64, bytes: u32) {
    cp_async::copy(destination, source, 8, bytes);
}

#[track_caller]
pub unsafe fn arrive(barrier: u32) {
    cp_async::arrive(barrier);
}

#[track_caller]
pub fn wait_all() {
    cp_async::commit();
    cp_async::wait(0);
}
