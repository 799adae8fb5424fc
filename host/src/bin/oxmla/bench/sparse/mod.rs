//! `oxmla bench sparse`: how long sparse decode and sparse prefill take.

mod case;
pub mod suite;
mod workload;

use std::io::Write;

use anyhow::{Context, bail};
use clap::ValueEnum;
use indicatif::ProgressBar;
use oxmla::backend::cuda::CudaDevice;
use oxmla::backend::cuda::graph::Graph;
use oxmla::{Device, Result, Stream};

use self::case::{Case, DECODE, PREFILL};
use self::workload::Workload;
use super::case::Cache;
use super::clock::{Clock, Cold};
use super::environment::Environment;
use super::gpu_args::GpuArgs;
use super::micro::row::{self, Row};
use super::workload::Workload as Dense;
use super::{progress_bar, record, report};
use crate::Verdict;
use crate::statistics::Summary;

/// Calls that a median is taken of.
const REPEAT: u32 = 15;
/// Calls in a graph, at least, and how long replays of it go on, in microseconds: long enough for the power limit to act.
const CALLS_PER_GRAPH: usize = 8;
const SUSTAINED_US: f64 = 200_000.0;
/// Seed of indices and elements.
const SEED: u64 = 0;

/// Arguments of `oxmla bench sparse`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to measure [default: both]
    #[arg(value_enum)]
    names: Vec<Name>,
    /// What a cached token is; a prefill is measured over elements
    #[arg(
        long,
        value_enum,
        value_name = "KIND,…",
        value_delimiter = ',',
        default_value = "elements"
    )]
    cache: Vec<Cache>,
    #[command(flatten)]
    gpu: GpuArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// 2 to 148 requests with two query tokens each, beside the dense decode of as many tokens
    Decode,
    /// 4,096 query tokens over caches of 8,192 to 131,072 tokens
    Prefill,
}

impl Name {
    /// A configuration in a word.
    fn of(self, case: &Case) -> String {
        match self {
            Self::Decode => case.decode_name(),
            Self::Prefill => case.prefill_name(),
        }
    }

    /// A call over cache number `cache` modulo [`Workload::caches`].
    fn call(self, workload: &mut Workload, stream: &Stream, cache: usize) -> Result<()> {
        match self {
            Self::Decode => workload.decode(stream, cache),
            Self::Prefill => workload.prefill(stream, cache),
        }
    }
}

/// Runs the benchmarks.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Verdict> {
    let device = Device::cuda(args.gpu.device)?;
    let stream = device.stream()?;
    let environment = Environment::of(&device, &stream, args.gpu.commit.as_deref())?;
    let Device::Cuda(gpu) = &device else { bail!("sparse attention is measured on a GPU") };
    let bench = Bench { device: &device, gpu, stream: &stream };
    let all = [Name::Decode, Name::Prefill];
    let names = if args.names.is_empty() { &all[..] } else { &args.names };
    for name in names {
        let cases: Vec<Case> = match name {
            Name::Decode => {
                let over = |&cache| DECODE.map(|case| Case { cache, ..case });
                args.cache.iter().flat_map(over).collect()
            }
            Name::Prefill => PREFILL.to_vec(),
        };
        let progress = progress_bar(cases.len());
        let rows: Vec<Row> = cases
            .iter()
            .map(|case| bench.row(*name, *case, &progress))
            .collect::<Result<_, _>>()?;
        progress.finish_and_clear();
        row::print(&rows, out)?;
        if let Some(path) = &args.gpu.json {
            for row in &rows {
                record::append(path, &row.record(&environment)?)?;
            }
        }
    }
    report::print_environment(&environment, out)?;
    Ok(Verdict::Passed)
}

/// What the benchmarks have in common.
struct Bench<'a> {
    device: &'a Device,
    gpu: &'a CudaDevice,
    stream: &'a Stream,
}

impl Bench<'_> {
    fn row(&self, name: Name, case: Case, progress: &ProgressBar) -> anyhow::Result<Row> {
        let title = name.of(&case);
        progress.set_message(title.clone());
        let row = self.measure(name, case, title.clone()).context(title)?;
        progress.inc(1);
        Ok(row)
    }

    fn measure(&self, name: Name, case: Case, title: String) -> anyhow::Result<Row> {
        let mut workload = Workload::new(self.device, case, SEED)?;
        let caches = workload.caches();
        let mut call = |call| name.call(&mut workload, self.stream, call);
        let cold = Cold::new(self.gpu, self.stream)?.times(REPEAT, &mut call)?;
        let calls = CALLS_PER_GRAPH.next_multiple_of(caches);
        let graph =
            Graph::capture(self.gpu, self.stream.as_ref(), || (0..calls).try_for_each(&mut call))?;
        let sustained = self.sustained(&graph)? / calls as f64;
        let parts = workload.parts();
        drop(workload);

        let benchmark = if name == Name::Decode { "sparse decode" } else { "sparse prefill" };
        let row = Row::new(benchmark, title, &cold)?;
        let tflops = case.flop() / row.us() * 1e-6;
        let row = row
            .with("tflops", "TFLOP/s", tflops)
            .with_rate("gbps", "GB/s", case.bytes())
            .with("sustained_us", "sustained, µs", sustained)
            .with("sustained_tflops", "TFLOP/s", case.flop() / sustained * 1e-6)
            .with("sustained_gbps", "GB/s", case.bytes() / sustained * 1e-3);
        if name == Name::Prefill {
            return Ok(row);
        }
        let dense = self.dense(&case)?;
        let share = dense / row.us();
        Ok(row.with("parts", "parts", parts.into()).with("dense_us", "dense, µs", dense).with(
            "of_dense",
            "speed of dense",
            share,
        ))
    }

    /// Microseconds of the graph among replays of it, when clocks have settled.
    fn sustained(&self, graph: &Graph) -> anyhow::Result<f64> {
        // SAFETY: the caller keeps the memory that the calls name.
        let replay = || unsafe { graph.launch(self.stream.as_ref()) };
        let clock = Clock::new(self.gpu)?;
        clock.time(self.stream, replay)?;
        let once = clock.time(self.stream, replay)?;
        let replays = (SUSTAINED_US / once).ceil().max(1.0) as usize;
        let total = clock.time(self.stream, || (0..replays).try_for_each(|_| replay()))?;
        Ok(total / replays as f64)
    }

    /// Microseconds of the dense decode of as many tokens.
    fn dense(&self, case: &Case) -> anyhow::Result<f64> {
        let mut dense = Dense::new(self.device, self.stream, &case.dense(SEED))?;
        let times = Cold::new(self.gpu, self.stream)?
            .times(REPEAT, |call| dense.decode(self.stream, call))?;
        Ok(Summary::of(&times).context("nothing was measured")?.median)
    }
}
