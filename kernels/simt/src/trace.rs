//! What each warp did when, in cycles of a simple cost model.
//!
//! The model knows the durations that shape a pipeline: the tensor cores multiply 64 × n × 16 in n / 2 cycles
//! and one multiply after the other, a copy takes a latency and then its bytes at the SM's share of the L2
//! bandwidth, an instruction of the machine takes one cycle, a special function two. Arithmetic that Rust
//! compiles itself costs nothing here. So the picture shows order and overlap, not a prediction.

use std::collections::BTreeSet;

use crate::injection::Injection;
use crate::machine::{Cta, WARP};

/// Durations, in cycles.
pub(crate) mod cost {
    /// A `wgmma` of 64 × n × 32 bytes: 4,096 multiply-adds of 16-bit elements per cycle and SM.
    pub fn multiply(n: u32) -> u64 {
        u64::from(n / 2).max(16)
    }

    /// From the issue of a copy until its first bytes land.
    pub const COPY_LATENCY: u64 = 700;
    /// Bytes per cycle that an SM gets from L2 while all do: 7.8 TB/s over 132 SMs at 1.7 GHz.
    pub const COPY_BYTES: u64 = 35;
}

/// What a span of time was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Waiting at a named barrier; `detail` is its number.
    Barrier,
    /// Arriving without waiting; `detail` is the barrier's number or address.
    Arrive,
    /// Waiting for an mbarrier; `detail` is its address.
    Mbarrier,
    /// Waiting for `wgmma`; `detail` is how many groups may stay pending.
    WgmmaWait,
    /// The tensor cores multiply for this warpgroup; `detail` is n.
    Multiply,
    /// A copy on its way into shared memory; `detail` is its bytes.
    Copy,
}

/// Something that a warp did or waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// `blockIdx`.
    pub block: [u32; 3],
    /// Warp in its CTA.
    pub warp: u32,
    /// What it was.
    pub event: Event,
    /// First cycle, from the start of the CTA.
    pub start: u64,
    /// Cycle after the last.
    pub end: u64,
    /// See [`Event`].
    pub detail: u32,
}

/// The record of a launch. Its spans are empty unless [`Launch::trace`](crate::Launch::trace) asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// In the order in which they ended.
    pub spans: Vec<Span>,
    /// Where the kernel can be broken, if [`Launch::survey`](crate::Launch::survey) asked for it.
    pub places: BTreeSet<Injection>,
}

impl Trace {
    pub(crate) fn append(&mut self, mut other: Self) {
        self.spans.append(&mut other.spans);
        self.places.append(&mut other.places);
    }

    /// Cycles until the last span ended.
    #[must_use]
    pub fn cycles(&self) -> u64 {
        self.spans.iter().map(|span| span.end).max().unwrap_or(0)
    }
}

/// Notes what happens in a gang.
pub(crate) struct Recorder {
    enabled: bool,
    /// CTA, thread and span.
    spans: Vec<(usize, Span)>,
    open: Vec<(usize, Span)>,
    tensor_cores: Vec<u64>,
    copy_engines: Vec<u64>,
}

impl Recorder {
    pub fn new(enabled: bool) -> Self {
        Self {
            enabled,
            spans: Vec::new(),
            open: Vec::new(),
            tensor_cores: Vec::new(),
            copy_engines: Vec::new(),
        }
    }

    /// When the tensor cores of a CTA's SM do `cycles` of work that is issued at `issue`.
    pub fn occupy_tensor_core(&mut self, cta: usize, issue: u64, cycles: u64) -> (u64, u64) {
        occupy(&mut self.tensor_cores, cta, issue, cycles)
    }

    /// When `bytes` that a CTA asks for at `issue` are on their way.
    pub fn occupy_copy_engine(&mut self, cta: usize, issue: u64, bytes: u32) -> (u64, u64) {
        let cycles = u64::from(bytes) / cost::COPY_BYTES;
        let (_, end) = occupy(&mut self.copy_engines, cta, issue, cycles);
        (issue, end + cost::COPY_LATENCY)
    }

    pub fn instant(&mut self, event: Event, cta: usize, thread: usize, time: u64, detail: u32) {
        self.span(event, cta, thread, time, time + 1, detail);
    }

    pub fn span(
        &mut self,
        event: Event,
        cta: usize,
        thread: usize,
        start: u64,
        end: u64,
        detail: u32,
    ) {
        if self.enabled {
            let warp = (thread / WARP) as u32;
            self.spans.push((cta, Span { block: [0; 3], warp, event, start, end, detail }));
        }
    }

    /// A wait begins; only the first lane of a warp is recorded.
    pub fn begin(&mut self, event: Event, cta: usize, thread: usize, time: u64, detail: u32) {
        if self.enabled && thread.is_multiple_of(WARP) {
            let warp = (thread / WARP) as u32;
            let span = Span { block: [0; 3], warp, event, start: time, end: time, detail };
            self.open.push((cta, span));
        }
    }

    /// The wait that began last in that warp ends.
    pub fn end(&mut self, event: Event, cta: usize, thread: usize, time: u64) {
        if !self.enabled || !thread.is_multiple_of(WARP) {
            return;
        }
        let warp = (thread / WARP) as u32;
        let mine =
            |(c, span): &(usize, Span)| *c == cta && span.warp == warp && span.event == event;
        if let Some(place) = self.open.iter().rposition(mine) {
            let (cta, span) = self.open.swap_remove(place);
            self.spans.push((cta, Span { end: time, ..span }));
        }
    }

    pub fn finish(self, ctas: &[Cta], places: BTreeSet<Injection>) -> Trace {
        let place = |(cta, span): (usize, Span)| Span { block: ctas[cta].block, ..span };
        Trace { spans: self.spans.into_iter().map(place).collect(), places }
    }
}

fn occupy(units: &mut Vec<u64>, cta: usize, issue: u64, cycles: u64) -> (u64, u64) {
    if units.len() <= cta {
        units.resize(cta + 1, 0);
    }
    let start = units[cta].max(issue);
    units[cta] = start + cycles;
    (start, start + cycles)
}
