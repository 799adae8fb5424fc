//! Bugs on purpose: what a kernel does with one instruction left out or changed, without changing the kernel.
//!
//! [`Launch::survey`](crate::Launch::survey) lists where a kernel can be broken,
//! [`Launch::inject`](crate::Launch::inject) breaks it there.

use std::collections::BTreeSet;
use std::panic::Location;

use crate::report::Place;

/// What is done to an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Change {
    /// `fence.proxy.async` or `fence.mbarrier_init` left out.
    DropProxyFence,
    /// `wgmma.fence` left out.
    DropRegisterFence,
    /// `wgmma.wait_group` left out.
    DropMultiplyWait,
    /// `wgmma.wait_group` waits for one group less.
    ShortenMultiplyWait,
    /// `bar.sync` left out.
    DropBarrier,
    /// `bar.arrive`, `mbarrier.arrive`, `cp.async.mbarrier.arrive` or a releasing addition left out.
    DropArrival,
    /// `mbarrier.try_wait` left out.
    DropMbarrierWait,
    /// `mbarrier.try_wait` for the other parity.
    FlipParity,
    /// A wait for a word of global memory left out.
    DropGlobalWait,
    /// `fence.acq_rel` left out.
    DropMemoryFence,
    /// `griddepcontrol.wait` left out.
    DropGridWait,
    /// The B operand of `wgmma` begins 16 bytes later.
    ShiftDescriptor,
}

/// A place in the kernel and what is done there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Injection {
    /// What is done.
    pub change: Change,
    /// Where: the line that calls the machine.
    pub place: Place,
}

/// The injection of a launch, and the places that a survey has found.
#[derive(Debug, Default)]
pub(crate) struct Saboteur {
    injection: Option<Injection>,
    survey: bool,
    pub found: BTreeSet<Injection>,
}

impl Saboteur {
    pub fn new(injection: Option<Injection>, survey: bool) -> Self {
        Self { injection, survey, found: BTreeSet::new() }
    }

    /// Whether `change` is to be done to the instruction at `line`.
    pub fn strikes(&mut self, change: Change, line: &Location<'_>) -> bool {
        if self.survey {
            self.found.insert(Injection { change, place: line.into() });
        }
        self.injection.as_ref().is_some_and(|injection| {
            injection.change == change
                && injection.place.line == line.line()
                && injection.place.file == line.file()
        })
    }
}
