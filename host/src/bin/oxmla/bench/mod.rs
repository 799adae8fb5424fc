//! `oxmla bench`: how long a decode call takes.

mod beside;
#[cfg(feature = "cuda")]
mod cache;
mod case;
#[cfg(feature = "cuda")]
mod ceilings;
#[cfg(feature = "cuda")]
mod clock;
mod environment;
#[cfg(feature = "cuda")]
mod gemm;
#[cfg(feature = "cuda")]
mod gpu;
#[cfg(feature = "cuda")]
mod gpu_args;
#[cfg(feature = "cuda")]
mod host_time;
mod limit;
#[cfg(feature = "cuda")]
mod micro;
#[cfg(feature = "cuda")]
mod nvml;
mod record;
mod report;
#[cfg(feature = "cuda")]
mod sparse;
#[cfg(feature = "cuda")]
mod step;
mod suite;
mod timing;
mod tokens;
mod workload;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Subcommand, ValueEnum, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use oxmla::{BLOCK_SIZE, Device, Stream};
use serde_json::Value;

use self::case::{Cache, Case, Distribution};
use self::environment::Environment;
use self::limit::Limit;
use self::report::Report;
use self::workload::Workload;
use crate::Verdict;
use crate::backend::{AttentionType, BackendArgs};

/// Arguments of `oxmla bench`.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Measure what the targets and the peers' rows are about, and print it beside them
    #[arg(value_enum, conflicts_with_all = [
        "batch", "heads", "kv_heads", "s_q", "seq_len", "dist", "dtype", "cache", "block_size",
        "causal", "window", "softcap",
    ])]
    preset: Option<Preset>,
    /// Measure a configuration or two of each regime only
    #[arg(long, requires = "preset")]
    quick: bool,
    #[command(flatten)]
    sweep: Sweep,
    #[command(flatten)]
    backend: BackendArgs,
    /// Calls that a median is taken of [default: 31 on a GPU, 5 on the CPU]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=100_000))]
    repeat: Option<u32>,
    /// Seed of lengths, block tables and elements
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Append one JSON object per configuration to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Commit to note in the results [default: the one checked out here]
    #[arg(long, value_name = "HASH")]
    commit: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure what the card can do, with kernels that do one thing: launches, memory, L2, multiplies, merges
    #[cfg(feature = "cuda")]
    Micro(micro::Args),
    /// Measure how long it takes to append to the cache, to gather from it, and to copy its blocks
    #[cfg(feature = "cuda")]
    Cache(cache::Args),
    /// Measure how long the matrix products of a layer take
    #[cfg(feature = "cuda")]
    Gemm(gemm::Args),
    /// Measure sparse decode and sparse prefill
    #[cfg(feature = "cuda")]
    Sparse(sparse::Args),
    /// Measure one decode step of a stack of DeepSeek-V3's attention layers, and what it is made of
    #[cfg(feature = "cuda")]
    Step(step::Args),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// 64 configurations of dense and sparse attention, with 1 to 256 requests; for a GPU
    Suite,
}

/// Configurations: all combinations of the values given, separated by commas.
#[derive(clap::Args, Clone, Debug)]
struct Sweep {
    /// Requests [default: 128 on a GPU, 4 on the CPU]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = value_parser!(u32).range(1..=1 << 20))]
    batch: Vec<u32>,
    /// Query heads
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "128", value_parser = value_parser!(u32).range(1..=1 << 16))]
    heads: Vec<u32>,
    /// KV heads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1 << 16))]
    kv_heads: u32,
    /// Query tokens per request
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1", value_parser = value_parser!(u32).range(1..=1 << 16))]
    s_q: Vec<u32>,
    /// Cached tokens per request [default: 4096 on a GPU, 1024 on the CPU]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = value_parser!(u32).range(0..=1 << 30))]
    seq_len: Vec<u32>,
    /// How lengths are spread around `--seq-len`
    #[arg(long, value_enum, default_value_t = Distribution::Fixed)]
    dist: Distribution,
    /// Type of queries, cache and outputs
    #[arg(long, value_enum, default_value_t = AttentionType::Bf16)]
    dtype: AttentionType,
    /// What a cached token is; FP8 goes with one KV head
    #[arg(
        long,
        value_enum,
        value_name = "KIND,…",
        value_delimiter = ',',
        default_value = "elements"
    )]
    cache: Vec<Cache>,
    /// Tokens of a block: 16, 32, 64 or 128
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [BLOCK_SIZE])]
    block_size: Vec<usize>,
    /// Hide from a query token the ones after it
    #[arg(long)]
    causal: bool,
    /// Tokens of a sliding window, or `off`
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "off", value_parser = limit::window)]
    window: Vec<Limit<u32>>,
    /// Soft cap of the scaled scores, or `off`
    #[arg(long, value_name = "X,…", value_delimiter = ',', default_value = "off", value_parser = limit::softcap)]
    softcap: Vec<Limit<f32>>,
}

/// Runs the measurements.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Verdict> {
    match &args.command {
        #[cfg(feature = "cuda")]
        Some(Command::Micro(args)) => micro::run(args, out),
        #[cfg(feature = "cuda")]
        Some(Command::Cache(args)) => cache::run(args, out),
        #[cfg(feature = "cuda")]
        Some(Command::Gemm(args)) => gemm::run(args, out),
        #[cfg(feature = "cuda")]
        Some(Command::Sparse(args)) => sparse::run(args, out),
        #[cfg(feature = "cuda")]
        Some(Command::Step(args)) => step::run(args, out),
        _ => run_decode(args, out),
    }
}

/// Measures decode calls.
fn run_decode(args: &Args, out: &mut dyn Write) -> anyhow::Result<Verdict> {
    let device = args.backend.open()?;
    ensure!(!matches!(device, Device::Sim(_)), "what the simulator takes says nothing about a GPU");
    let stream = device.stream()?;
    let is_cpu = matches!(device, Device::Cpu(_));
    let cases = match args.preset {
        Some(Preset::Suite) if args.quick => suite::quick(args.seed),
        Some(Preset::Suite) => suite::all(args.seed),
        None => args.sweep.cases(is_cpu, args.seed),
    };
    let repeat = args.repeat.unwrap_or(if is_cpu { 5 } else { 31 });
    let environment = Environment::of(&device, &stream, args.commit.as_deref())?;
    let bench = Bench { device, stream, repeat, environment, json: args.json.clone() };

    let mut results = Results::default();
    let outcome = bench.run(&cases, &mut results);
    #[cfg(feature = "cuda")]
    let outcome = match args.preset {
        Some(Preset::Suite) => {
            outcome.and_then(|()| sparse::suite::run(&bench, args.quick, args.seed, &mut results))
        }
        None => outcome,
    };
    // What was measured before a failure is worth showing.
    results.report.print(&bench.environment, out)?;
    if args.preset.is_some() {
        beside::print(&results.records, out)?;
    }
    outcome.map(|()| Verdict::Passed)
}

impl Sweep {
    fn cases(&self, is_cpu: bool, seed: u64) -> Vec<Case> {
        let or = |values: &[u32], default| {
            if values.is_empty() { vec![default] } else { values.to_vec() }
        };
        let batches = or(&self.batch, if is_cpu { 4 } else { 128 });
        let seq_lens = or(&self.seq_len, if is_cpu { 1024 } else { 4096 });
        let mut cases = Vec::new();
        for &batch in &batches {
            for &heads in &self.heads {
                for &s_q in &self.s_q {
                    for &seq_len in &seq_lens {
                        let case = |(cache, block_size, window, softcap)| Case {
                            batch,
                            heads,
                            kv_heads: self.kv_heads,
                            s_q,
                            seq_len,
                            distribution: self.dist,
                            dtype: self.dtype.into(),
                            cache,
                            block_size,
                            causal: self.causal,
                            window,
                            softcap,
                            seed,
                        };
                        cases.extend(self.kernels().map(case));
                    }
                }
            }
        }
        cases
    }

    /// What decides the kernel, or how it reads the cache: kind of cache, block size, window, soft cap.
    fn kernels(&self) -> impl Iterator<Item = (Cache, usize, Option<u32>, Option<f32>)> {
        let limits = || {
            let windows = self.window.iter();
            windows.flat_map(|&Limit(window)| self.softcap.iter().map(move |cap| (window, cap.0)))
        };
        self.cache.iter().flat_map(move |&cache| {
            self.block_size.iter().flat_map(move |&block_size| {
                limits().map(move |(window, softcap)| (cache, block_size, window, softcap))
            })
        })
    }
}

/// Everything that the measurements have in common.
struct Bench {
    device: Device,
    stream: Stream,
    repeat: u32,
    environment: Environment,
    json: Option<PathBuf>,
}

/// What has been measured so far: for people, and for programs.
#[derive(Default)]
struct Results {
    report: Report,
    records: Vec<Value>,
}

impl Bench {
    fn run(&self, cases: &[Case], results: &mut Results) -> anyhow::Result<()> {
        let progress = progress_bar(cases.len());
        for case in cases {
            progress.set_message(case.name());
            self.measure(case, results).with_context(|| case.name())?;
            progress.inc(1);
        }
        progress.finish_and_clear();
        Ok(())
    }

    fn measure(&self, case: &Case, results: &mut Results) -> anyhow::Result<()> {
        let mut workload = Workload::new(&self.device, &self.stream, case)?;
        let timings = timing::measure(&self.device, &self.stream, &mut workload, self.repeat)?;
        results.report.add(case.name(), &workload.work, &timings);
        let record = record::of(case, self.repeat, &workload, &timings, &self.environment)?;
        self.keep(record, results)
    }

    /// Adds a record to the file and to the results.
    fn keep(&self, record: Value, results: &mut Results) -> anyhow::Result<()> {
        if let Some(path) = &self.json {
            record::append(path, &record)?;
        }
        results.records.push(record);
        Ok(())
    }
}

/// A bar on standard error, if that is a terminal.
fn progress_bar(cases: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} {msg}");
    let bar = ProgressBar::new(cases as u64);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
