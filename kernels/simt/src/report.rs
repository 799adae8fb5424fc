//! What the machine says when a kernel does what hardware forbids.

use std::fmt;
use std::panic::Location;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The launch asks for more threads, shared memory or registers than the device has.
    LaunchLimit,
    /// An address outside shared memory or outside every registered range of global memory.
    OutOfBounds,
    /// An address, or the corner of a box, that is not a multiple of what the instruction asks.
    Misaligned,
    /// A write to global memory that was registered as read-only.
    ReadOnly,
    /// A read of memory that nothing wrote.
    Uninitialised,
    /// Two accesses to shared memory, or in a cooperative launch to global memory, one of them a write, that
    /// nothing orders.
    Race,
    /// The async proxy meets a generic write that no `fence.proxy.async` of its writer covers.
    ProxyFence,
    /// Memory touched while an asynchronous operation reads or writes it, or by a thread that has not
    /// waited for that operation.
    InFlight,
    /// Accumulator registers changed between `wgmma` and its wait.
    AccumulatorWritten,
    /// Accumulator registers used between `wgmma` and its wait.
    AccumulatorRead,
    /// A registers changed between `wgmma` and its wait.
    FragmentWritten,
    /// A wait names an accumulator whose multiplies it leaves pending.
    WaitTooShort,
    /// `wgmma` on registers that other instructions have touched, without `wgmma.fence`.
    RegisterFence,
    /// A thread ended with asynchronous operations that nobody waited for.
    NeverWaited,
    /// All threads that are left wait for something that cannot come.
    Deadlock,
    /// Threads that must execute an instruction together did not.
    Divergence,
    /// A matrix descriptor that is malformed or leaves its buffer.
    Descriptor,
    /// An mbarrier whose bytes do not add up.
    TransactionCount,
    /// An mbarrier or named barrier with more arrivals than it waits for, or with contradicting counts.
    ArrivalCount,
    /// An mbarrier used before its initialisation is visible, or memory that is not one.
    Mbarrier,
    /// A tensor map that the driver would refuse, or an address that is none.
    TensorMap,
    /// `setmaxnreg` outside its limits.
    Registers,
    /// Memory of the launch before, touched before `griddepcontrol.wait`.
    Dependency,
    /// An instruction with operands that the ISA forbids.
    Operand,
    /// Memory of a CTA of the cluster that has already ended.
    ExitedCta,
    /// Rust code of the kernel panicked.
    Panic,
}

/// A place in the kernel's source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Source file, as the compiler names it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
}

impl From<&Location<'_>> for Place {
    fn from(location: &Location<'_>) -> Self {
        Self { file: location.file().into(), line: location.line() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One finding: the first of a launch, which it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What went wrong.
    pub kind: Kind,
    /// Name of the kernel, as given to the launch.
    pub kernel: String,
    /// `blockIdx` of the CTA.
    pub block: [u32; 3],
    /// Threads concerned, by their index in the CTA.
    pub threads: Vec<u32>,
    /// Where the kernel called the machine.
    pub location: Option<Place>,
    /// What exactly, with addresses, counts and the other party.
    pub detail: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.block;
        write!(f, "{:?} in {}, block ({x}, {y}, {z})", self.kind, self.kernel)?;
        if !self.threads.is_empty() {
            write!(f, ", threads {}", ranges(&self.threads))?;
        }
        if let Some(place) = &self.location {
            write!(f, ", {place}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

impl std::error::Error for Report {}

/// A finding on its way from the check that made it to the place that knows kernel, block and line.
#[derive(Debug)]
pub(crate) struct Fault {
    pub kind: Kind,
    pub detail: String,
    /// Threads concerned, by their index in the gang; empty means the thread that executed.
    pub threads: Vec<usize>,
    /// The line concerned, if it is not the one that executed.
    pub line: Option<&'static Location<'static>>,
}

impl Fault {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), threads: Vec::new(), line: None }
    }

    pub fn of(mut self, threads: impl IntoIterator<Item = usize>) -> Self {
        self.threads = threads.into_iter().collect();
        self
    }

    pub fn in_line(mut self, line: &'static Location<'static>) -> Self {
        self.line = Some(line);
        self
    }
}

pub(crate) type Outcome<T> = Result<T, Fault>;

/// Ascending numbers as `0–31, 64`.
pub(crate) fn ranges(numbers: &[u32]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for run in numbers.chunk_by(|a, b| *b == *a + 1) {
        match (run.first(), run.last()) {
            (Some(first), Some(last)) if first != last => parts.push(format!("{first}–{last}")),
            (Some(first), _) => parts.push(first.to_string()),
            _ => {}
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn numbers_are_shortened_to_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0–2, 5, 7–8");
        assert_eq!(ranges(&[]), "");
    }
}
