//! Communication inside a warp.

use oxmla_simt::warp;
pub use oxmla_simt::warp::{all, any, ballot, broadcast, max, sum};

#[track_caller]
pub fn sync() {
    warp::sync(u32::MAX);
}

#[track_caller]
pub fn butterfly<const MASK: u32>(value: f32) -> f32 {
    warp::butterfly(value, MASK)
}

#[track_caller]
pub fn up_or_zero<const DELTA: u32>(value: u32) -> u32 {
    warp::up_or_zero(value, DELTA)
}
