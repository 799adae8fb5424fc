//! Global memory.

use oxmla_simt::global;

#[track_caller]
pub unsafe fn load_i32(address: *const i32) -> i32 {
    global::load_i32(address)
}

#[track_caller]
pub unsafe fn load_f32_coherent(address: *const f32) -> f32 {
    global::load_f32_coherent(address)
}

#[track_caller]
pub unsafe fn load_b16x8_coherent(address: *const u16) -> [u32; 4] {
    global::load_f32x4_coherent(address.cast()).map(f32::to_bits)
}

#[track_caller]
pub unsafe fn load_f32x4_coherent(address: *const f32) -> [f32; 4] {
    global::load_f32x4_coherent(address)
}

#[track_caller]
pub unsafe fn add_release_u32(address: *mut u32, value: u32) -> u32 {
    global::add_release_u32(address, value)
}

#[track_caller]
pub unsafe fn add_relaxed_u32(address: *mut u32, value: u32) -> u32 {
    global::add_relaxed_u32(address, value)
}

#[track_caller]
pub unsafe fn wait_at_least(address: *const u32, value: u32) {
    global::wait_at_least(address, value);
}

#[track_caller]
pub unsafe fn store_relaxed_u32(address: *mut u32, value: u32) {
    global::store_relaxed_u32(address, value);
}

#[track_caller]
pub unsafe fn store_f32(address: *mut f32, value: f32) {
    global::store_f32(address, value);
}

#[track_caller]
pub unsafe fn store_b16x4(address: *mut u16, value: [u32; 2]) {
    global::store_u32x2(address.cast(), value);
}

#[track_caller]
pub unsafe fn load_u32x4(address: *const u32) -> [u32; 4] {
    global::load_u32x4(address)
}

#[track_caller]
pub unsafe fn load_u32x2(address: *const u32) -> [u32; 2] {
    global::load_u32x2(address)
}

#[track_caller]
pub unsafe fn store_u32x2(address: *mut u32, value: [u32; 2]) {
    global::store_u32x2(address, value);
}

#[track_caller]
pub unsafe fn store_u32(address: *mut u32, value: u32) {
    global::store_u32(address, value);
}

#[track_caller]
pub unsafe fn store_u32x4(address: *mut u32, value: [u32; 4]) {
    global::store_u32x4(address, value);
}

#[track_caller]
pub unsafe fn load_f32x2(address: *const f32) -> [f32; 2] {
    global::load_f32x2(address)
}

/// Changes nothing but time.
pub unsafe fn prefetch(_address: *const i32) {}
