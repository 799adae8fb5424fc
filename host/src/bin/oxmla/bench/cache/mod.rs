//! `oxmla bench cache`: how long it takes to append to the cache, to gather from it, and to copy its blocks.

mod append;
mod copy;
mod gather;
mod pages;

use std::io::Write;

use anyhow::{Context, bail};
use oxmla::backend::cuda::CudaDevice;
use oxmla::backend::cuda::graph::Graph;
use oxmla::backend::cuda::program::Program;
use oxmla::{Device, Result, Stream};
use oxmla_kernels::micro::launch::EMPTY;

use self::pages::KINDS;
use super::clock::{Clock, Cold};
use super::environment::Environment;
use super::gpu_args::GpuArgs;
use super::micro::{self, row, row::Row};
use super::{record, report};
use crate::Verdict;
use crate::statistics::Summary;

/// Calls that a median is taken of.
const REPEAT: u32 = 31;
/// Calls in a graph: so many that the gap between two graphs does not matter.
const CALLS_PER_GRAPH: usize = 100;

/// Arguments of `oxmla bench cache`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    gpu: GpuArgs,
}

/// Runs the benchmarks.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Verdict> {
    let device = Device::cuda(args.gpu.device)?;
    let stream = device.stream()?;
    let environment = Environment::of(&device, &stream, args.gpu.commit.as_deref())?;
    let Device::Cuda(gpu) = &device else { bail!("cache kernels are measured on a GPU") };
    let program = Program::load(gpu, micro::NAME, micro::PTX)?;
    let bench = Bench { device: &device, gpu, stream: &stream, program: &program };
    let mut finish = |rows: Vec<Row>| -> anyhow::Result<()> {
        row::print(&rows, out)?;
        if let Some(path) = &args.gpu.json {
            for row in &rows {
                record::append(path, &row.record(&environment)?)?;
            }
        }
        Ok(())
    };
    for kind in &KINDS {
        finish(append::run(&bench, kind)?)?;
    }
    for kind in &KINDS {
        finish(gather::run(&bench, kind)?)?;
    }
    finish(copy::run(&bench)?)?;
    report::print_environment(&environment, out)?;
    Ok(Verdict::Passed)
}

/// What the benchmarks have in common.
struct Bench<'a> {
    device: &'a Device,
    gpu: &'a CudaDevice,
    stream: &'a Stream,
    program: &'a Program,
}

/// A call to measure.
struct Case {
    benchmark: &'static str,
    name: String,
    /// Bytes that it reads and writes, indices left out.
    bytes: usize,
    /// CTAs that it launches.
    ctas: u32,
}

/// Microseconds of a call.
struct Times {
    /// Of each call that finds nothing of its in the L2.
    cold: Vec<f64>,
    /// Of a call among others in a graph.
    among_others: f64,
}

impl Bench<'_> {
    /// A row: the call, and beside it a kernel without work in as many CTAs.
    fn row(&self, case: Case, call: impl FnMut() -> Result<()>) -> anyhow::Result<Row> {
        let empty = self.program.kernel(&EMPTY)?.ctas(case.ctas).threads(256).shared_bytes(0);
        // SAFETY: the kernel takes nothing and touches nothing.
        let empty = self.times(|| unsafe { empty.launch(self.stream.as_ref(), &()) })?;
        let times = self.times(call)?;
        let row = Row::new(case.benchmark, case.name, &times.cold)?;
        let over_empty = row.us() - median(&empty.cold)?;
        Ok(row
            .with_rate("moved_gbps", "GB/s", case.bytes as f64)
            .with("over_empty_us", "over empty, µs", over_empty)
            .with("graph_us", "in a graph, µs", times.among_others)
            .with("graph_over_empty_us", "over empty, µs", times.among_others - empty.among_others))
    }

    fn times(&self, mut call: impl FnMut() -> Result<()>) -> anyhow::Result<Times> {
        let graph = Graph::capture(self.gpu, self.stream.as_ref(), || {
            (0..CALLS_PER_GRAPH).try_for_each(|_| call())
        })?;
        // SAFETY: the memory that the calls name is borrowed by `call`.
        let replay = || unsafe { graph.launch(self.stream.as_ref()) };
        let clock = Clock::new(self.gpu)?;
        clock.time(self.stream, replay)?;
        let replays: Vec<_> =
            (0..REPEAT).map(|_| clock.time(self.stream, replay)).collect::<Result<_>>()?;
        let among_others = median(&replays)? / CALLS_PER_GRAPH as f64;
        let cold = Cold::new(self.gpu, self.stream)?.times(REPEAT, |_| call())?;
        Ok(Times { cold, among_others })
    }
}

fn median(times: &[f64]) -> anyhow::Result<f64> {
    Ok(Summary::of(times).context("nothing was measured")?.median)
}
