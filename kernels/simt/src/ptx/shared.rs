//! Shared memory: `ld.shared`, `st.shared`.
//!
//! Addresses are those of the CTA's own window, or of the cluster's as
//! [`cluster::map_address`](super::cluster::map_address) makes them.

use std::panic::Location;

use super::global::{bytes, words};
use crate::machine::context::execute_at;
use crate::machine::{poison, shared as memory};

/// Address of the CTA's dynamic shared memory, a multiple of 1,024; not 0.
#[must_use]
pub fn base() -> u32 {
    memory::BASE
}

/// `ld.shared` of `N` bytes, a power of two up to 16.
#[track_caller]
#[must_use]
pub fn load<const N: usize>(address: u32) -> [u8; N] {
    let line = Location::caller();
    execute_at(line, |gang, thread| gang.load(thread, address, line))
}

/// `st.shared` of `N` bytes, a power of two up to 16.
#[track_caller]
pub fn store<const N: usize>(address: u32, value: [u8; N]) {
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        for word in value.chunks_exact(4) {
            let bits = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            poison::check(bits, "a store to shared memory")?;
        }
        gang.store(thread, address, value, line)
    });
}

/// `ld.shared.b32` as `f32`.
#[track_caller]
#[must_use]
pub fn load_f32(address: u32) -> f32 {
    f32::from_le_bytes(load(address))
}

/// `ld.shared.b32` as `u32`.
#[track_caller]
#[must_use]
pub fn load_u32(address: u32) -> u32 {
    u32::from_le_bytes(load(address))
}

/// `ld.shared.b16`.
#[track_caller]
#[must_use]
pub fn load_u16(address: u32) -> u16 {
    u16::from_le_bytes(load(address))
}

/// `ld.shared.v4.b32`.
#[track_caller]
#[must_use]
pub fn load_u32x4(address: u32) -> [u32; 4] {
    words(load(address))
}

/// `st.shared.b32` of an `f32`.
#[track_caller]
pub fn store_f32(address: u32, value: f32) {
    store(address, value.to_le_bytes());
}

/// `st.shared.b32` of a `u32`.
#[track_caller]
pub fn store_u32(address: u32, value: u32) {
    store(address, value.to_le_bytes());
}

/// `st.shared.b16`.
#[track_caller]
pub fn store_u16(address: u32, value: u16) {
    store(address, value.to_le_bytes());
}

/// `st.shared.v4.b32`.
#[track_caller]
pub fn store_u32x4(address: u32, value: [u32; 4]) {
    store::<16>(address, bytes(value));
}

/// `st.shared.v4.b32` of 16 zero bytes.
#[track_caller]
pub fn store_zero_16(address: u32) {
    store(address, [0; 16]);
}
