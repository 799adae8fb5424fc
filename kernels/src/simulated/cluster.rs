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
