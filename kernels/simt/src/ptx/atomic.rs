//! Atomics: `atom`, `red`.
//!
//! `global` takes device addresses, `shared` those of the CTA or the cluster. Atomics order no other access;
//! what a flag in global memory announces has to be fenced ([`fence::gpu`](crate::fence::gpu)) or
//! [released](crate::global::add_release_u32), in shared memory handed over by a barrier.

use std::panic::Location;

use crate::machine::context::execute_at;
use crate::machine::global::Order;
use crate::machine::poison;
use crate::memory::View;
use crate::report::{Fault, Kind, Outcome};

/// An operation on a word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// Wrapping sum.
    Add(u32),
    /// Sum of `f32`.
    AddF32(f32),
    /// Unsigned minimum.
    Min(u32),
    /// Unsigned maximum.
    Max(u32),
    /// Bitwise and.
    And(u32),
    /// Bitwise or.
    Or(u32),
    /// Replacement.
    Exchange(u32),
    /// Replacement by the second if the word equals the first.
    CompareExchange(u32, u32),
    /// The next number, 0 after the bound.
    Increment(u32),
}

impl Operation {
    fn apply(self, old: u32) -> u32 {
        match self {
            Self::Add(value) => old.wrapping_add(value),
            Self::AddF32(value) => (f32::from_bits(old) + value).to_bits(),
            Self::Min(value) => old.min(value),
            Self::Max(value) => old.max(value),
            Self::And(value) => old & value,
            Self::Or(value) => old | value,
            Self::Exchange(value) => value,
            Self::CompareExchange(expected, value) if old == expected => value,
            Self::CompareExchange(..) => old,
            Self::Increment(bound) if old >= bound => 0,
            Self::Increment(_) => old + 1,
        }
    }

    fn check(self) -> Outcome<()> {
        match self {
            Self::AddF32(value) => poison::check(value.to_bits(), "an atomic"),
            _ => Ok(()),
        }
    }
}

/// Threads among which an atomic is atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Those of the CTA.
    Cta,
    /// Those of the cluster.
    Cluster,
    /// Those of the GPU.
    Gpu,
    /// All, the host included.
    System,
}

/// `atom.global`: replaces a word of global memory; returns the old one. The machine makes every scope atomic
/// for the whole GPU.
#[track_caller]
pub fn global(address: *mut u32, operation: Operation, _scope: Scope) -> u32 {
    update(address, operation, Order::Relaxed)
}

/// The same with an order.
#[track_caller]
pub(crate) fn update(address: *mut u32, operation: Operation, order: Order) -> u32 {
    let line = Location::caller();
    let address = address as u64;
    execute_at(line, |gang, thread| {
        operation.check()?;
        if !address.is_multiple_of(4) {
            let detail = format!("an atomic on global memory at {address:#x}, not a multiple of 4");
            return Err(Fault::new(Kind::Misaligned, detail));
        }
        let update = |view: View| view.update_u32(address, |old| operation.apply(old));
        gang.update_global(thread, address, 4, order, line, update)
    })
}

/// `atom.global.add.u64`; returns the old value.
#[track_caller]
pub fn global_add_u64(address: *mut u64, value: u64, _scope: Scope) -> u64 {
    let line = Location::caller();
    let address = address as u64;
    execute_at(line, |gang, thread| {
        if !address.is_multiple_of(8) {
            let detail = format!("an atomic on global memory at {address:#x}, not a multiple of 8");
            return Err(Fault::new(Kind::Misaligned, detail));
        }
        let update = |view: View| view.update_u64(address, |old| old.wrapping_add(value));
        gang.update_global(thread, address, 8, Order::Relaxed, line, update)
    })
}

/// `atom.shared`: replaces a word of shared memory; returns the old one.
#[track_caller]
pub fn shared(address: u32, operation: Operation) -> u32 {
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        operation.check()?;
        gang.update_shared(thread, address, line, |old| operation.apply(old))
    })
}
