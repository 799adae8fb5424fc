//! Thread block clusters.

use oxmla_simt::cluster;
pub use oxmla_simt::cluster::{map_address, rank};

#[track_caller]
pub unsafe fn arrive() {
    cluster::arrive();
}

#[track_caller]
pub unsafe fn wait() {
    cluster::wait();
}

#[track_caller]
pub unsafe fn store_async_u32x4(address: u32, words: [u32; 4], barrier: u32) {
    cluster::store_async(address, words, barrier);
}

#[track_caller]
pub unsafe fn store_async_f32x2(address: u32, values: [f32; 2], barrier: u32) {
    cluster::store_async(address, values.map(f32::to_bits), barrier);
}
