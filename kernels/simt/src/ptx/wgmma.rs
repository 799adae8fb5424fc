//! Warpgroup matrix multiply-accumulate: `wgmma`.
//!
//! All 128 threads of a warpgroup execute each of these together. Between [`multiply`] and the [`wait`] that
//! names it, an accumulator belongs to the machine: its registers hold NaNs that stand for it, and whatever
//! the kernel does with them is reported. A registers must stay as they are, and alive, until the wait.

use std::panic::Location;

use crate::injection::Change;
use crate::machine::collective::Op;
use crate::machine::context::{execute_blocking, injected};
pub use crate::machine::tensor_core::Type;
pub use crate::machine::wgmma::Mma;

/// A tile of 64 × 32 bytes in one thread, for use as the A operand.
pub type FragmentA = [u32; 4];

/// The A operand.
#[derive(Clone, Copy, Debug)]
pub enum A<'a> {
    /// In shared memory, through a matrix descriptor.
    Shared(u64),
    /// In registers.
    Registers(&'a FragmentA),
}

impl Mma {
    /// `D[64 × n] += A · B` with both operands of type `ty`, K-major.
    #[must_use]
    pub const fn new(ty: Type, n: u32) -> Self {
        Self {
            n,
            a: ty,
            b: ty,
            fragment: false,
            accumulate: true,
            negate: false,
            transpose_a: false,
            transpose_b: false,
        }
    }
}

#[track_caller]
fn collective(op: Op, input: [u64; 8]) {
    let line = Location::caller();
    execute_blocking(|gang, thread| gang.with_warpgroup(thread, op, input, line));
}

/// `wgmma.fence.sync.aligned`: orders register accesses before it with the multiplies after it.
#[track_caller]
pub fn fence() {
    if injected(Change::DropRegisterFence) {
        return;
    }
    collective(Op::WgmmaFence, [0; 8]);
}

/// `wgmma.mma_async.sync.aligned`: begins a multiply into `acc`, `n / 2` accumulators. Whether A comes from
/// registers is up to `a`, whatever `form` says.
#[track_caller]
pub fn multiply(form: Mma, acc: &mut [f32], a: A, b: u64) {
    let (fragment, a) = match a {
        A::Shared(descriptor) => (false, descriptor),
        A::Registers(registers) => (true, std::ptr::from_ref(registers).expose_provenance() as u64),
    };
    let b = b + u64::from(injected(Change::ShiftDescriptor));
    let address = acc.as_mut_ptr().expose_provenance() as u64;
    let input = [address, acc.len() as u64, a, b, 0, 0, 0, 0];
    collective(Op::Mma(Mma { fragment, ..form }), input);
}

/// `wgmma.commit_group.sync.aligned`: the multiplies since the last commit become one group.
#[track_caller]
pub fn commit() {
    collective(Op::WgmmaCommit, [0; 8]);
}

/// `wgmma.wait_group.sync.aligned`: waits until at most `pending` groups are in flight, and hands the
/// accumulators in `named` back. One that completes unnamed stays with the machine until a later wait names
/// it, or a later multiply goes on with it.
#[track_caller]
pub fn wait(pending: u32, named: &mut [&mut [f32]]) {
    if injected(Change::DropMultiplyWait) {
        return;
    }
    let pending = pending + u32::from(injected(Change::ShortenMultiplyWait));
    let list: Vec<(u64, usize)> = named
        .iter_mut()
        .map(|acc| (acc.as_mut_ptr().expose_provenance() as u64, acc.len()))
        .collect();
    let input = [list.as_ptr() as u64, list.len() as u64, 0, 0, 0, 0, 0, 0];
    collective(Op::WgmmaWait { pending }, input);
}
