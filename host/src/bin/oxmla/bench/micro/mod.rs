//! `oxmla bench micro`: what the card can do, one thing at a time, with kernels of our own.
//!
//! Each benchmark checks what its kernels leave behind before it believes their time.

mod launch;
mod matrix;
mod memory;
mod merge;
mod pattern;
mod ring;
pub mod row;

use std::io::Write;

use anyhow::{Context, bail};
use clap::ValueEnum;
use oxmla::backend::cuda::program::Program;
use oxmla::backend::cuda::{CudaBuffer, CudaDevice};
use oxmla::{Device, Stream};
use oxmla_bench::Ceilings;

use self::row::Row;
use super::clock::Clock;
use super::environment::Environment;
use super::gpu_args::GpuArgs;
use super::{record, report};
use crate::Verdict;

/// What the module of the micro-benchmarks is called.
pub const NAME: &str = "micro";
/// What `cargo xtask ptx` made of the micro-benchmarks of the `oxmla-kernels` crate.
pub const PTX: &str = include_str!("../../../../../ptx/oxmla_micro_sm90a.ptx");

/// Launches that a median is taken of.
const REPEAT: u32 = 7;

/// Arguments of `oxmla bench micro`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    names: Vec<Name>,
    #[command(flatten)]
    gpu: GpuArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Kernels without work, back to back: plain, dependent, cooperative, in a graph
    Launch,
    /// Reading the device memory, with vector loads and with TMA
    Read,
    /// Copying inside the device memory, with a kernel and with the driver
    Copy,
    /// From L2 to shared memory with TMA, with and without cluster multicast
    L2,
    /// Multiplies back to back, by shape and by where A comes from; cool and sustained
    Wgmma,
    /// Merging the results of a split request, by number of pieces
    Merge,
}

/// Runs the benchmarks. One that fails does not keep the others from running.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Verdict> {
    let device = Device::cuda(args.gpu.device)?;
    let stream = device.stream()?;
    let environment = Environment::of(&device, &stream, args.gpu.commit.as_deref())?;
    let names = if args.names.is_empty() { Name::value_variants() } else { &args.names };

    let mut failed = Vec::new();
    for name in names {
        let mut rows = Vec::new();
        let outcome = measure(*name, &device, &stream, &mut rows);
        // What was measured before a failure is worth showing.
        row::print(&rows, out)?;
        if let Some(path) = &args.gpu.json {
            for row in &rows {
                record::append(path, &row.record(&environment)?)?;
            }
        }
        failed.extend(outcome.err().map(|error| format!("{}: {error:#}", name.title())));
    }
    report::print_environment(&environment, out)?;
    if failed.is_empty() {
        return Ok(Verdict::Passed);
    }
    bail!("{}", failed.join("; "))
}

impl Name {
    fn title(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

fn measure(
    name: Name,
    device: &Device,
    stream: &Stream,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let Device::Cuda(gpu) = device else { bail!("micro-benchmarks are for a GPU") };
    let program = Program::load(gpu, NAME, PTX)?;
    let bench = Bench { device: gpu, stream, program: &program, clock: Clock::new(gpu)? };
    match name {
        Name::Launch => launch::run(&bench, rows),
        Name::Read => memory::read(&bench, rows),
        Name::Copy => memory::copy(&bench, rows),
        Name::L2 => ring::l2(&bench, rows),
        Name::Wgmma => matrix::run(&bench, rows),
        Name::Merge => merge::run(device, stream, rows),
    }
}

/// The ceilings that take a kernel, measured now: reads and multiplies.
pub fn ceilings(device: &CudaDevice, stream: &Stream) -> anyhow::Result<Ceilings> {
    let program = Program::load(device, NAME, PTX)?;
    let bench = Bench { device, stream, program: &program, clock: Clock::new(device)? };
    let (mma_tflops, mma_sustained_tflops) = matrix::ceilings(&bench)?;
    Ok(Ceilings {
        read_gbps: Some(memory::read_gbps(&bench)?),
        copy_gbps: None,
        mma_tflops: Some(mma_tflops),
        mma_sustained_tflops: Some(mma_sustained_tflops),
    })
}

/// What the benchmarks have in common.
struct Bench<'a> {
    device: &'a CudaDevice,
    stream: &'a Stream,
    program: &'a Program,
    clock: Clock,
}

impl Bench<'_> {
    /// Microseconds of each of [`REPEAT`] times that `work` is done, right behind another time that does not
    /// count: it warms up, and keeps the GPU busy until the host has put the one that counts into the stream.
    fn times(&self, mut work: impl FnMut() -> oxmla::Result<()>) -> oxmla::Result<Vec<f64>> {
        (0..REPEAT)
            .map(|_| {
                work()?;
                self.clock.time(self.stream, &mut work)
            })
            .collect()
    }

    /// Memory for so many words that kernels leave behind, filled with what none of them would.
    fn results(&self, words: usize) -> oxmla::Result<CudaBuffer> {
        let mut memory = self.device.alloc(words * size_of::<u32>())?;
        memory.fill(0xff)?;
        Ok(memory)
    }

    /// Waits for everything on the stream.
    fn synchronize(&self) -> anyhow::Result<()> {
        self.stream.synchronize().context("a kernel of the benchmark failed")
    }
}
