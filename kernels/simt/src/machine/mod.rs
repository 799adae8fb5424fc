//! The machine itself: a gang of CTAs, executed by one CPU thread.
//!
//! `context` is how the functions of `crate::ptx` reach it, `scheduler` runs the coroutines, and the rest is
//! one file per unit of the hardware.

pub mod accumulators;
pub mod barrier;
pub mod bulk;
pub mod clock;
pub mod cluster;
pub mod collective;
pub mod context;
pub mod copy;
pub mod cp_async;
pub mod descriptor;
pub mod global;
pub mod image;
pub mod matrix;
pub mod mbarrier;
pub mod names;
pub mod poison;
pub mod registers;
mod room;
pub mod scheduler;
pub mod shadow;
pub mod shared;
pub mod stall;
pub mod tensor_core;
pub mod warp;
pub mod wgmma;
pub mod worker;

use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;

use self::clock::{Clocks, Slot, ThreadId};
use self::cluster::ClusterBarrier;
use self::collective::Group;
use self::copy::Copies;
use self::global::GlobalMemory;
use self::registers::RegisterFile;
use self::shadow::Sites;
use self::shared::Shared;
use self::wgmma::Warpgroup;
use crate::injection::Saboteur;
use crate::launch::Launch;
use crate::memory::{Global, View};
use crate::report::{Fault, Place, Report};
use crate::trace::Recorder;

/// What a lane hands to a collective instruction, and what it gets back.
pub type Words = [u64; 8];
/// A line of the kernel.
pub type Line = &'static Location<'static>;

/// Lanes of a warp.
pub const WARP: usize = 32;
/// Threads of a warpgroup.
pub const WARPGROUP: usize = 128;

/// What a blocked thread waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The other threads of a collective instruction.
    Collective(collective::Op),
    /// A named barrier of its CTA.
    Barrier(u32),
    /// A phase of an mbarrier.
    Mbarrier { cta: usize, address: u32, parity: u32 },
    /// The other CTAs.
    Cluster,
    /// A word of global memory, until it has reached a value.
    Global { address: u64, value: u32 },
    /// Registers that other warpgroups have to give back.
    Registers(u32),
    /// Anything: it polls, and is run again once something has happened.
    Poll,
}

/// Where a GPU thread stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Ready,
    Blocked(Wait),
    Done,
}

/// A GPU thread.
pub struct Thread {
    pub state: State,
    /// What the collective instruction it was blocked in returned.
    pub result: Words,
    /// The machine function it called last.
    pub line: Option<Line>,
    /// Addresses of its stack.
    pub stack: Range<u64>,
}

/// A CTA.
pub struct Cta {
    pub block: [u32; 3],
    pub shared: Shared,
    pub barriers: [barrier::Barrier; 16],
    pub registers: RegisterFile,
    /// Threads that have not ended.
    pub alive: usize,
}

/// CTAs that run together, with all their threads: a cluster, or those of a cooperative grid.
pub struct Gang {
    pub launch: Arc<Launch>,
    pub memory: Arc<Global>,
    /// Number of the launch among all on its memory.
    pub number: u32,
    /// Slot of the launch before, whose end `griddepcontrol.wait` makes known.
    prerequisite: Slot,
    pub ctas: Vec<Cta>,
    pub threads: Vec<Thread>,
    pub warps: Vec<Group>,
    pub warpgroups: Vec<Warpgroup>,
    pub clocks: Clocks,
    pub sites: Sites,
    pub copies: Copies,
    /// By cluster.
    pub cluster_barriers: Vec<ClusterBarrier>,
    pub global: GlobalMemory,
    pub ready: scheduler::Ready,
    pub report: Option<Report>,
    pub recorder: Recorder,
    pub saboteur: Saboteur,
}

impl Gang {
    /// The `index`-th CTAs of the launch that run together, before their first instruction.
    pub fn new(launch: Arc<Launch>, memory: Arc<Global>, number: u32, index: u64) -> Self {
        let clusters = launch.clusters_together();
        let size = launch.cluster_size();
        let ctas = clusters as usize * size;
        let per_cta = launch.threads() as usize;
        let threads = ctas * per_cta;
        let mut clocks = Clocks::new(threads);
        let warps_per_cta = per_cta.div_ceil(WARP);
        let groups_per_cta = per_cta / WARPGROUP;
        let cta = |rank: usize| Cta {
            block: launch.block_index(index * clusters + (rank / size) as u64, rank % size),
            shared: Shared::new(launch.shared_bytes),
            barriers: Default::default(),
            registers: RegisterFile::new(&launch),
            alive: per_cta,
        };
        let warp = |w: usize| {
            let first = w % warps_per_cta * WARP;
            Group::new(w / warps_per_cta * per_cta + first, WARP.min(per_cta - first))
        };
        let mut warpgroup = |g: usize| {
            let first = g / groups_per_cta * per_cta + g % groups_per_cta * WARPGROUP;
            Warpgroup::new(first, clocks.allocate(4))
        };
        Self {
            ctas: (0..ctas).map(cta).collect(),
            threads: (0..threads)
                .map(|_| Thread { state: State::Ready, result: [0; 8], line: None, stack: 0..0 })
                .collect(),
            warps: (0..ctas * warps_per_cta).map(warp).collect(),
            warpgroups: (0..ctas * groups_per_cta).map(&mut warpgroup).collect(),
            sites: Sites::default(),
            copies: Copies::default(),
            cluster_barriers: (0..clusters).map(|_| ClusterBarrier::default()).collect(),
            global: GlobalMemory::new(launch.cooperative),
            ready: scheduler::Ready::new(launch.seed, index, ctas * warps_per_cta),
            report: None,
            recorder: Recorder::new(launch.trace),
            saboteur: Saboteur::new(launch.injection.clone(), launch.survey),
            prerequisite: clocks.allocate(1),
            clocks,
            launch,
            memory,
            number,
        }
    }

    /// Global memory as a thread sees it.
    pub fn view(&self, thread: ThreadId) -> View<'_> {
        View { global: &self.memory, launch: self.number, early: self.early(thread) }
    }

    /// Whether the launch before may still run, as far as the thread knows.
    pub fn early(&self, thread: ThreadId) -> bool {
        self.launch.programmatic && !self.clocks.knows(thread, self.prerequisite, 1)
    }

    /// `griddepcontrol.wait`.
    pub fn wait_for_prerequisite(&mut self, thread: ThreadId) {
        self.clocks.learn(thread, self.prerequisite, 1);
    }

    pub fn threads_per_cta(&self) -> usize {
        self.launch.threads() as usize
    }

    /// CTA of a thread, among those that run together.
    pub fn cta_of(&self, thread: ThreadId) -> usize {
        thread / self.threads_per_cta()
    }

    /// Cluster of a CTA.
    pub fn cluster_of(&self, cta: usize) -> usize {
        cta / self.launch.cluster_size()
    }

    /// Index of a thread in its CTA.
    pub fn index_in_cta(&self, thread: ThreadId) -> usize {
        thread % self.threads_per_cta()
    }

    /// Warp of a thread among all of the gang.
    pub fn warp_of(&self, thread: ThreadId) -> usize {
        let per_cta = self.threads_per_cta();
        thread / per_cta * per_cta.div_ceil(WARP) + thread % per_cta / WARP
    }

    /// Warpgroup of a thread among all of the gang; `None` in an incomplete one.
    pub fn warpgroup_of(&self, thread: ThreadId) -> Option<usize> {
        let per_cta = self.threads_per_cta();
        let (groups, group) = (per_cta / WARPGROUP, thread % per_cta / WARPGROUP);
        (group < groups).then_some(thread / per_cta * groups + group)
    }

    /// Lets a blocked thread go on, with the result of what it was blocked in.
    pub fn wake(&mut self, thread: ThreadId, result: Words) {
        let mine = &mut self.threads[thread];
        mine.state = State::Ready;
        mine.result = result;
        let warp = self.warp_of(thread);
        let lane = thread - self.warps[warp].first;
        self.ready.add(warp, lane);
    }

    /// Turns a fault into the report that ends the launch; the first one stays.
    pub fn record(&mut self, fault: Fault, thread: ThreadId, line: Option<Line>) {
        let threads = if fault.threads.is_empty() { vec![thread] } else { fault.threads };
        let cta = self.cta_of(threads[0]);
        let report = Report {
            kind: fault.kind,
            kernel: self.launch.kernel.clone(),
            block: self.ctas[cta].block,
            threads: threads.iter().map(|&t| self.index_in_cta(t) as u32).collect(),
            location: fault.line.or(line).map(Place::from),
            detail: fault.detail,
        };
        self.report.get_or_insert(report);
    }
}
