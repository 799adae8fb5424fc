//! Barriers in shared memory.

use oxmla_simt::mbarrier;

#[track_caller]
pub unsafe fn init(address: u32, arrivals: u32) {
    mbarrier::init(address, arrivals);
}

#[track_caller]
pub unsafe fn arrive(address: u32) {
    mbarrier::arrive(address);
}

#[track_caller]
pub unsafe fn arrive_cluster(address: u32) {
    mbarrier::arrive(address);
}

#[track_caller]
pub unsafe fn arrive_expect(address: u32, bytes: u32) {
    mbarrier::arrive_expect(address, bytes);
}

#[track_caller]
pub unsafe fn wait(address: u32, parity: u32) {
    mbarrier::wait(address, parity);
}
