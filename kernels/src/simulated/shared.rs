//! Shared memory.

use oxmla_simt::shared;
pub use oxmla_simt::shared::base;

#[track_caller]
pub unsafe fn load_f32(address: u32) -> f32 {
    shared::load_f32(address)
}

#[track_caller]
pub unsafe fn load_f32x2(address: u32) -> [f32; 2] {
    [shared::load_f32(address), shared::load_f32(address + 4)]
}

#[track_caller]
pub unsafe fn store_f32(address: u32, value: f32) {
    shared::store_f32(address, value);
}

#[track_caller]
pub unsafe fn load_u32(address: u32) -> u32 {
    shared::load_u32(address)
}

#[track_caller]
pub unsafe fn load_u32x4(address: u32) -> [u32; 4] {
    shared::load_u32x4(address)
}

#[track_caller]
pub unsafe fn store_u32x4(address: u32, value: [u32; 4]) {
    shared::store_u32x4(address, value);
}

#[track_caller]
pub unsafe fn store_zero_16(address: u32) {
    shared::store_zero_16(address);
}
