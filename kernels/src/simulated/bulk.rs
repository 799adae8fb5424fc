//! Groups of a thread's bulk stores.

use oxmla_simt::bulk;

#[track_caller]
pub unsafe fn commit() {
    bulk::commit();
}

#[track_caller]
pub unsafe fn wait_read<const PENDING: u32>() {
    bulk::wait_read(PENDING);
}
