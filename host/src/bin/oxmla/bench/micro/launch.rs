//! Kernels without work, back to back: what a launch costs the GPU and the host.

use std::time::Instant;

use anyhow::Context;
use oxmla::backend::cuda::CudaBuffer;
use oxmla::backend::cuda::graph::Graph;
use oxmla::backend::cuda::program::ProgramKernel;
use oxmla::{Error, Result, Stream};
use oxmla_kernels::micro::launch::{EMPTY, EMPTY_DEPENDENT};

use super::super::clock::{Clock, Cold};
use super::row::Row;
use super::{Bench, REPEAT};
use crate::statistics::Summary;

/// Launches back to back: no more than the driver queues without making the host wait.
const LAUNCHES: usize = 500;
/// Bytes of one of the fills that keep the GPU busy while the host queues launches.
const FILL_BYTES: usize = 512 << 20;
/// How much longer than the host needs the fills take.
const MARGIN: f64 = 1.5;

/// CTAs of a launch.
#[derive(Clone, Copy)]
struct Size {
    name: &'static str,
    threads: u32,
    shared_bytes: u32,
}

const SIZES: [Size; 2] = [
    Size { name: "128 threads", threads: 128, shared_bytes: 0 },
    Size { name: "as large as decode", threads: EMPTY.threads, shared_bytes: EMPTY.shared_bytes },
];

/// The `launch` benchmark: a CTA on every SM.
pub fn run(bench: &Bench<'_>, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let mut queue = Queue::new(bench)?;
    let kernel = |geometry, Size { threads, shared_bytes, .. }| {
        let kernel = bench.program.kernel(geometry)?.ctas(bench.device.multiprocessors());
        Ok::<_, Error>(kernel.threads(threads).shared_bytes(shared_bytes))
    };
    for size in SIZES {
        let (plain, dependent) = (kernel(&EMPTY, size)?, kernel(&EMPTY_DEPENDENT, size)?);
        let variants = [
            ("plain", plain),
            ("dependent", dependent.programmatic()),
            ("cooperative", plain.cooperative()),
        ];
        for (how, kernel) in variants {
            rows.push(queue.row(&format!("{how}, {}", size.name), kernel)?);
        }
    }
    for size in SIZES {
        let (plain, dependent) = (kernel(&EMPTY, size)?, kernel(&EMPTY_DEPENDENT, size)?);
        for (how, kernel) in [("plain", plain), ("dependent", dependent.programmatic())] {
            rows.push(queue.graph_row(&format!("{how} in a graph, {}", size.name), kernel)?);
        }
    }
    Ok(())
}

/// The stream, and something long to put in front of what is timed.
struct Queue<'a> {
    bench: &'a Bench<'a>,
    filled: CudaBuffer,
    fill_us: f64,
}

impl<'a> Queue<'a> {
    fn new(bench: &'a Bench<'a>) -> Result<Self> {
        let mut filled = bench.device.alloc(FILL_BYTES)?;
        let stream = bench.stream.as_ref();
        let times = bench.times(|| filled.fill_on(stream, 0))?;
        let fill_us = times.into_iter().fold(f64::INFINITY, f64::min);
        Ok(Self { bench, filled, fill_us })
    }

    /// A row of a kernel that is launched time and again.
    fn row(&mut self, case: &str, kernel: ProgramKernel<'_>) -> anyhow::Result<Row> {
        let stream = self.bench.stream;
        let launch = |times| launch(&kernel, stream, times);
        self.measure(case, || launch(LAUNCHES), || launch(1))
    }

    /// A row of a kernel whose launches are replayed together.
    fn graph_row(&mut self, case: &str, kernel: ProgramKernel<'_>) -> anyhow::Result<Row> {
        let Bench { device, stream, .. } = self.bench;
        let capture =
            |times| Graph::capture(device, stream.as_ref(), || launch(&kernel, stream, times));
        let (many, one) = (capture(LAUNCHES)?, capture(1)?);
        // SAFETY: the kernels of the graphs touch nothing.
        let replay = |graph: &Graph| unsafe { graph.launch(stream.as_ref()) };
        self.measure(case, || replay(&many), || replay(&one))
    }

    /// `many` is [`LAUNCHES`] times `one`.
    fn measure(
        &mut self,
        case: &str,
        many: impl Fn() -> Result<()>,
        one: impl Fn() -> Result<()>,
    ) -> anyhow::Result<Row> {
        let host = self.host_us(&many)?;
        let between = self.back_to_back(MARGIN * host, &many)?;
        let per_launch: Vec<_> = between.iter().map(|us| us / LAUNCHES as f64).collect();
        let Bench { device, stream, .. } = self.bench;
        let alone = Cold::new(device, stream)?.times(REPEAT, |_| one())?;
        let alone = Summary::of(&alone).context("nothing was measured")?.median;
        Ok(Row::new("launch", case, &per_launch)?.with("one_us", "one alone, µs", alone).with(
            "host_us",
            "host, µs",
            host / LAUNCHES as f64,
        ))
    }

    /// Microseconds that the host takes for `many`, with an empty stream: the median.
    fn host_us(&self, many: &impl Fn() -> Result<()>) -> anyhow::Result<f64> {
        let mut times = Vec::new();
        for _ in 0..REPEAT {
            self.bench.synchronize()?;
            let start = Instant::now();
            many()?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        self.bench.synchronize()?;
        Ok(Summary::of(&times).context("nothing was measured")?.median)
    }

    /// Microseconds that the GPU takes for `many`, all in the stream before the first begins.
    fn back_to_back(
        &mut self,
        hold_us: f64,
        many: &impl Fn() -> Result<()>,
    ) -> anyhow::Result<Vec<f64>> {
        let Bench { device, stream, .. } = *self.bench;
        let fills = 1 + (hold_us / self.fill_us) as usize;
        let clock = Clock::new(device)?;
        let mut times = Vec::new();
        for _ in 0..REPEAT {
            for _ in 0..fills {
                self.filled.fill_on(stream.as_ref(), 0)?;
            }
            times.push(clock.time(stream, many)?);
        }
        Ok(times)
    }
}

/// Launches an empty kernel so many times.
fn launch(kernel: &ProgramKernel<'_>, stream: &Stream, times: usize) -> Result<()> {
    // SAFETY: the kernel takes nothing and touches nothing.
    (0..times).try_for_each(|_| unsafe { kernel.launch(stream.as_ref(), &()) })
}
