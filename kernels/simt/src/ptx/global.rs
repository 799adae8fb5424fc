//! Global memory: `ld.global`, `st.global`.
//!
//! Pointers are device addresses, those that [`Memory`](crate::Memory) gave out. They are never dereferenced
//! unchecked, hence no `unsafe`.

use std::panic::Location;

use crate::injection::Change;
use crate::machine::context::{execute_at, execute_blocking, injected, pause};
use crate::machine::global::Order;
use crate::machine::poison;
use crate::ptx::atomic;
use crate::report::{Fault, Kind, Outcome};

fn aligned(address: u64, align: usize) -> Outcome<()> {
    if address.is_multiple_of(align as u64) {
        return Ok(());
    }
    let detail = format!("global memory at {address:#x}, not a multiple of {align}");
    Err(Fault::new(Kind::Misaligned, detail))
}

/// `ld.global` of `N` bytes, a power of two up to 16.
#[track_caller]
#[must_use]
pub fn load<const N: usize>(address: u64) -> [u8; N] {
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        aligned(address, N)?;
        let mut value = [0; N];
        gang.load_global(thread, address, &mut value, line)?;
        Ok(value)
    })
}

/// `st.global` of `N` bytes, a power of two up to 16.
#[track_caller]
pub fn store<const N: usize>(address: u64, value: [u8; N]) {
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        aligned(address, N)?;
        for word in value.chunks_exact(4) {
            let bits = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            poison::check(bits, "a store to global memory")?;
        }
        gang.store_global(thread, address, &value, line)
    });
}

/// `ld.global.b32` as `i32`.
#[track_caller]
#[must_use]
pub fn load_i32(address: *const i32) -> i32 {
    i32::from_le_bytes(load(address as u64))
}

/// `ld.global.b32` as `u32`.
#[track_caller]
#[must_use]
pub fn load_u32(address: *const u32) -> u32 {
    u32::from_le_bytes(load(address as u64))
}

/// `ld.global.b32` as `f32`.
#[track_caller]
#[must_use]
pub fn load_f32(address: *const f32) -> f32 {
    f32::from_le_bytes(load(address as u64))
}

/// `ld.global.v4.b32` as four `u32`.
#[track_caller]
#[must_use]
pub fn load_u32x4(address: *const u32) -> [u32; 4] {
    words(load(address as u64))
}

/// `ld.global.v2.b32` as two `u32`.
#[track_caller]
#[must_use]
pub fn load_u32x2(address: *const u32) -> [u32; 2] {
    let bits = u64::from_le_bytes(load(address as u64));
    [bits as u32, (bits >> 32) as u32]
}

/// `ld.global.v2.b32` as two `f32`.
#[track_caller]
#[must_use]
pub fn load_f32x2(address: *const f32) -> [f32; 2] {
    load_u32x2(address.cast()).map(f32::from_bits)
}

/// `ld.global.v4.b32` as four `f32`.
#[track_caller]
#[must_use]
pub fn load_f32x4(address: *const f32) -> [f32; 4] {
    words(load(address as u64)).map(f32::from_bits)
}

#[track_caller]
fn load_strong<const N: usize>(address: u64, order: Order) -> [u8; N] {
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        aligned(address, N)?;
        let mut value = [0; N];
        gang.load_strong(thread, address, &mut value, order, line)?;
        Ok(value)
    })
}

/// `ld.relaxed.gpu.global.b32` as `f32`.
#[track_caller]
#[must_use]
pub fn load_f32_coherent(address: *const f32) -> f32 {
    f32::from_le_bytes(load_strong(address as u64, Order::Relaxed))
}

/// `ld.relaxed.gpu.global.v4.b32` as four `f32`.
#[track_caller]
#[must_use]
pub fn load_f32x4_coherent(address: *const f32) -> [f32; 4] {
    words(load_strong(address as u64, Order::Relaxed)).map(f32::from_bits)
}

/// `ld.acquire.gpu.global.b32`. Lets other threads go first, since what waits for a value polls it.
#[track_caller]
#[must_use]
pub fn load_acquire_u32(address: *const u32) -> u32 {
    pause();
    u32::from_le_bytes(load_strong(address as u64, Order::Acquire))
}

/// `ld.acquire.gpu.global.b32` until the word is at least `value`. The thread sleeps until then, so that a wait
/// in vain is a deadlock that the machine can report.
#[track_caller]
pub fn wait_at_least(address: *const u32, value: u32) {
    if injected(Change::DropGlobalWait) {
        return;
    }
    let line = Location::caller();
    let address = address as u64;
    execute_blocking(|gang, thread| {
        aligned(address, 4)?;
        gang.wait_at_least(thread, address, value, line)
    });
}

#[track_caller]
fn store_strong(address: *mut u32, value: u32, order: Order) {
    let line = Location::caller();
    let address = address as u64;
    execute_at(line, |gang, thread| {
        aligned(address, 4)?;
        gang.store_strong(thread, address, value, order, line)
    });
}

/// `st.relaxed.gpu.global.b32` of a `u32`.
#[track_caller]
pub fn store_relaxed_u32(address: *mut u32, value: u32) {
    store_strong(address, value, Order::Relaxed);
}

/// `st.release.gpu.global.b32` of a `u32`: who acquires the value knows what comes before the store.
#[track_caller]
pub fn store_release_u32(address: *mut u32, value: u32) {
    store_strong(address, value, Order::Release);
}

/// `atom.release.gpu.global.add.u32`; returns the old value. Who acquires the sum, or what later atomics make
/// of it, knows what comes before the addition.
#[track_caller]
pub fn add_release_u32(address: *mut u32, value: u32) -> u32 {
    if injected(Change::DropArrival) {
        return u32::from_le_bytes(load_strong(address as u64, Order::Relaxed));
    }
    atomic::update(address, atomic::Operation::Add(value), Order::Release)
}

/// `atom.relaxed.gpu.global.add.u32`; returns the old value. Orders nothing.
#[track_caller]
pub fn add_relaxed_u32(address: *mut u32, value: u32) -> u32 {
    if injected(Change::DropArrival) {
        return u32::from_le_bytes(load_strong(address as u64, Order::Relaxed));
    }
    atomic::update(address, atomic::Operation::Add(value), Order::Relaxed)
}

/// `st.global.b32` of an `f32`.
#[track_caller]
pub fn store_f32(address: *mut f32, value: f32) {
    store(address as u64, value.to_le_bytes());
}

/// `st.global.b32` of a `u32`; also two packed 16-bit floats.
#[track_caller]
pub fn store_u32(address: *mut u32, value: u32) {
    store(address as u64, value.to_le_bytes());
}

/// `st.global.v2.b32` of two `f32`.
#[track_caller]
pub fn store_f32x2(address: *mut f32, value: [f32; 2]) {
    store::<8>(address as u64, bytes(value.map(f32::to_bits)));
}

/// `st.global.v2.b32` of two `u32`.
#[track_caller]
pub fn store_u32x2(address: *mut u32, value: [u32; 2]) {
    store::<8>(address as u64, bytes(value));
}

/// `st.global.v4.b32` of four `u32`.
#[track_caller]
pub fn store_u32x4(address: *mut u32, value: [u32; 4]) {
    store::<16>(address as u64, bytes(value));
}

/// `st.global.v4.b32` of four `f32`.
#[track_caller]
pub fn store_f32x4(address: *mut f32, value: [f32; 4]) {
    store::<16>(address as u64, bytes(value.map(f32::to_bits)));
}

pub(crate) fn words<const N: usize>(bytes: [u8; 16]) -> [u32; N] {
    let word = |i: usize| u32::from_le_bytes(std::array::from_fn(|b| bytes[4 * i + b]));
    std::array::from_fn(word)
}

pub(crate) fn bytes<const W: usize, const N: usize>(words: [u32; W]) -> [u8; N] {
    std::array::from_fn(|i| words[i / 4].to_le_bytes()[i % 4])
}
