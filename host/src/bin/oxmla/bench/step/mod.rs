//! `oxmla bench step`: one decode step of a stack of DeepSeek-V3's attention layers, and what it is made of.

mod measure;
mod stack;
mod weights;

use std::io::Write;

use anyhow::bail;
use clap::value_parser;
use oxmla::Device;

use self::measure::Bench;
use self::stack::{Size, Stack};
use super::environment::Environment;
use super::gpu_args::GpuArgs;
use super::micro::row;
use super::{record, report};
use crate::Verdict;

/// Arguments of `oxmla bench step`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Layers, each with weights (374 MB for all heads) and a cache of its own
    #[arg(long, value_name = "N", default_value_t = 61, value_parser = value_parser!(u32).range(1..=1000))]
    layers: u32,
    /// Requests
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 16, 128], value_parser = value_parser!(u32).range(1..=1 << 12))]
    batch: Vec<u32>,
    /// New tokens per request
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=64))]
    s_q: u32,
    /// Tokens per request, new ones included: a layer's cache takes 1,152 bytes for each
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = value_parser!(u32).range(64..=163_840))]
    seq_len: u32,
    /// Ranks that the heads are divided among; those of the first are measured
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=128))]
    world: u32,
    #[command(flatten)]
    gpu: GpuArgs,
}

/// Runs the benchmark.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Verdict> {
    let device = Device::cuda(args.gpu.device)?;
    let stream = device.stream()?;
    let environment = Environment::of(&device, &stream, args.gpu.commit.as_deref())?;
    let Device::Cuda(gpu) = &device else { bail!("a step is measured on a GPU") };
    let [layers, s_q, seq_len, world] =
        [args.layers, args.s_q, args.seq_len, args.world].map(|number| number as usize);
    let batch = args.batch.iter().copied().max().unwrap_or(1) as usize;
    let mut stack = Stack::new(&device, &Size { layers, batch, s_q, seq_len, world })?;
    let bench = Bench { device: &device, gpu, stream: &stream, environment: &environment };
    let (mut steps, mut operations) = (Vec::new(), Vec::new());
    for &batch in &args.batch {
        let (step, parts) = bench.measure(&mut stack, batch as usize)?;
        steps.push(step);
        operations.extend(parts);
    }
    for rows in [&steps, &operations] {
        row::print(rows, out)?;
        if let Some(path) = &args.gpu.json {
            for row in rows {
                record::append(path, &row.record(&environment)?)?;
            }
        }
    }
    report::print_environment(&environment, out)?;
    Ok(Verdict::Passed)
}
