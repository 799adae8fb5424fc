//! Launches: geometry, limits of the device, and the seed that decides who runs when.

use std::sync::Arc;

use crate::injection::Injection;
use crate::machine::worker;
use crate::memory::Memory;
use crate::report::{Kind, Report};
use crate::trace::Trace;

/// Dynamic shared memory that a CTA can have on sm_90, in bytes.
pub const MAX_SHARED_BYTES: u32 = 232_448;
/// Threads that a CTA can have.
pub const MAX_THREADS: u32 = 1024;
/// 32-bit registers of an SM.
pub const REGISTERS: u32 = 65_536;
/// CTAs that a cluster can have with the attribute for non-portable sizes.
pub const MAX_CLUSTER: u32 = 16;
/// SMs of the device, an H100 SXM: the CTAs of a cooperative grid, of which each takes one.
pub const MULTIPROCESSORS: u32 = 132;

/// When asynchronous copies complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Timing {
    /// As late as the rules allow: when no thread can go on without them.
    #[default]
    Late,
    /// At points that the seed chooses.
    Random,
}

/// A kernel launch.
///
/// ```
/// use oxmla_simt::{Launch, Memory, global, special};
///
/// let mut numbers = [1.0f32, 2.0, 3.0, 4.0];
/// let mut memory = Memory::new();
/// let address = memory.read_write(&mut numbers);
/// Launch::new("double", [1, 1, 1], 4).run(&memory, || {
///     let mine = (address as *mut f32).wrapping_add(special::thread_index() as usize);
///     global::store_f32(mine, 2.0 * global::load_f32(mine));
/// })?;
/// drop(memory);
/// assert_eq!(numbers, [2.0, 4.0, 6.0, 8.0]);
/// # Ok::<(), Box<oxmla_simt::Report>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Launch {
    pub(crate) kernel: String,
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) cluster: [u32; 3],
    pub(crate) shared_bytes: u32,
    pub(crate) shared_buffers: Vec<std::ops::Range<u32>>,
    pub(crate) registers: u32,
    pub(crate) seed: u64,
    pub(crate) timing: Timing,
    pub(crate) workers: usize,
    pub(crate) stack_bytes: usize,
    pub(crate) programmatic: bool,
    pub(crate) cooperative: bool,
    pub(crate) trace: bool,
    pub(crate) survey: bool,
    pub(crate) injection: Option<Injection>,
}

impl Launch {
    /// A launch of `grid` CTAs of `threads` threads, without shared memory or clusters.
    #[must_use]
    pub fn new(kernel: impl Into<String>, grid: [u32; 3], threads: u32) -> Self {
        Self {
            kernel: kernel.into(),
            grid,
            block: [threads, 1, 1],
            cluster: [1; 3],
            shared_bytes: 0,
            shared_buffers: Vec::new(),
            registers: (REGISTERS / threads.clamp(1, REGISTERS) / 8 * 8).min(248),
            seed: 0,
            timing: Timing::Late,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            stack_bytes: 256 * 1024,
            programmatic: false,
            cooperative: false,
            trace: false,
            survey: false,
            injection: None,
        }
    }

    /// Dimensions of a CTA, for kernels that use more than `tid.x`.
    #[must_use]
    pub fn block(mut self, block: [u32; 3]) -> Self {
        self.block = block;
        self
    }

    /// CTAs of a cluster along each dimension.
    #[must_use]
    pub fn cluster(mut self, cluster: [u32; 3]) -> Self {
        self.cluster = cluster;
        self
    }

    /// Dynamic shared memory per CTA, in bytes.
    #[must_use]
    pub fn shared_bytes(mut self, bytes: u32) -> Self {
        self.shared_bytes = bytes;
        self
    }

    /// How the kernel divides its shared memory, as byte offsets from its start: a `wgmma` operand that begins
    /// in one of these buffers must end in it.
    #[must_use]
    pub fn shared_buffers(mut self, buffers: &[std::ops::Range<u32>]) -> Self {
        self.shared_buffers = buffers.to_vec();
        self
    }

    /// Registers per thread at launch; by default as many as fit one CTA on an SM.
    #[must_use]
    pub fn registers(mut self, registers: u32) -> Self {
        self.registers = registers;
        self
    }

    /// Makes the launch one that may begin before the launch before it on the same memory has ended
    /// (`CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION`): what that one has written may be touched only
    /// after [`grid::wait`](crate::grid::wait).
    #[must_use]
    pub fn programmatic(mut self, programmatic: bool) -> Self {
        self.programmatic = programmatic;
        self
    }

    /// Makes the launch a cooperative one (`CU_LAUNCH_ATTRIBUTE_COOPERATIVE`): all CTAs of the grid are there
    /// from the beginning and take turns, so that they may wait for each other, and races between them on
    /// global memory are found. One CPU thread runs them all.
    #[must_use]
    pub fn cooperative(mut self, cooperative: bool) -> Self {
        self.cooperative = cooperative;
        self
    }

    /// Decides the interleaving. The same seed gives the same execution, cluster by cluster.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// When asynchronous copies complete.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// CPU threads to use; by default all there are.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Stack of each GPU thread, in bytes; 256 KB by default. Unoptimised kernels may need more.
    #[must_use]
    pub fn stack_bytes(mut self, bytes: usize) -> Self {
        self.stack_bytes = bytes;
        self
    }

    /// Records what each warp did when; see [`Trace`].
    #[must_use]
    pub fn trace(mut self, trace: bool) -> Self {
        self.trace = trace;
        self
    }

    /// Lists in [`Trace::places`] where the kernel can be broken.
    #[must_use]
    pub fn survey(mut self, survey: bool) -> Self {
        self.survey = survey;
        self
    }

    /// Breaks the kernel in one place.
    #[must_use]
    pub fn inject(mut self, injection: Injection) -> Self {
        self.injection = Some(injection);
        self
    }

    /// Executes `kernel` in every thread of the grid, and waits for the end.
    ///
    /// # Errors
    /// The first finding, that of the first cluster that has one; in a cooperative launch, the first in time. It
    /// ends the launch; what the kernel has written by then stays written.
    pub fn run(self, memory: &Memory<'_>, kernel: impl Fn() + Sync) -> Result<Trace, Box<Report>> {
        self.check()?;
        worker::run(Arc::new(self), &memory.share(), &kernel)
    }

    fn check(&self) -> Result<(), Box<Report>> {
        let size = |d: [u32; 3]| d.iter().map(|&n| u64::from(n)).product::<u64>();
        let threads = size(self.block);
        let refuse = |detail: String| {
            Err(Box::new(Report {
                kind: Kind::LaunchLimit,
                kernel: self.kernel.clone(),
                block: [0; 3],
                threads: Vec::new(),
                location: None,
                detail,
            }))
        };
        if size(self.grid) == 0 || !(1..=u64::from(MAX_THREADS)).contains(&threads) {
            let (grid, block) = (self.grid, self.block);
            return refuse(format!("grid {grid:?} of {block:?} threads, at most {MAX_THREADS}"));
        }
        if self.shared_bytes > MAX_SHARED_BYTES {
            let bytes = self.shared_bytes;
            return refuse(format!("{bytes} bytes of shared memory, at most {MAX_SHARED_BYTES}"));
        }
        let registers = u64::from(self.registers);
        if !(24..=255).contains(&registers) || registers * threads > REGISTERS.into() {
            return refuse(format!(
                "{registers} registers for each of {threads} threads; an SM has {REGISTERS}"
            ));
        }
        let divides = self.grid.iter().zip(&self.cluster).all(|(g, c)| *c > 0 && g % c == 0);
        if !divides || size(self.cluster) > MAX_CLUSTER.into() {
            let (grid, cluster) = (self.grid, self.cluster);
            return refuse(format!("clusters of {cluster:?} CTAs in a grid of {grid:?}"));
        }
        if self.cooperative && size(self.grid) > MULTIPROCESSORS.into() {
            let ctas = size(self.grid);
            return refuse(format!(
                "{ctas} CTAs in a cooperative grid; the device has {MULTIPROCESSORS} SMs, one for each CTA"
            ));
        }
        Ok(())
    }

    /// Threads of a CTA.
    pub(crate) fn threads(&self) -> u32 {
        self.block.iter().product()
    }

    /// CTAs of a cluster.
    pub(crate) fn cluster_size(&self) -> usize {
        self.cluster.iter().product::<u32>() as usize
    }

    /// Clusters of the grid.
    fn clusters(&self) -> u64 {
        let along = |d: usize| u64::from(self.grid[d] / self.cluster[d]);
        along(0) * along(1) * along(2)
    }

    /// Clusters that run together: all of a cooperative grid, otherwise each by itself.
    pub(crate) fn clusters_together(&self) -> u64 {
        if self.cooperative { self.clusters() } else { 1 }
    }

    /// GPU threads that run together.
    pub(crate) fn threads_together(&self) -> usize {
        self.clusters_together() as usize * self.cluster_size() * self.threads() as usize
    }

    /// Gangs of the grid: CTAs that run together.
    pub(crate) fn gangs(&self) -> u64 {
        self.clusters() / self.clusters_together()
    }

    /// `blockIdx` of CTA `rank` in cluster `index`.
    pub(crate) fn block_index(&self, index: u64, rank: usize) -> [u32; 3] {
        let (mut index, mut rank) = (index, rank as u32);
        std::array::from_fn(|d| {
            let along = u64::from(self.grid[d] / self.cluster[d]);
            let at = (index % along) as u32 * self.cluster[d] + rank % self.cluster[d];
            index /= along;
            rank /= self.cluster[d];
            at
        })
    }
}
