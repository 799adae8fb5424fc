//! `oxmla bench gemm`: how long the matrix products of a layer take.

mod heads;
mod measure;
mod operands;
mod projections;
mod tilings;

use std::io::Write;

use anyhow::bail;
use clap::ValueEnum;
use oxmla::Device;
use oxmla::gemm::Workspace;

use self::measure::Bench;
use super::environment::Environment;
use super::gpu_args::GpuArgs;
use super::micro::row;
use super::{record, report};
use crate::Verdict;

/// Arguments of `oxmla bench gemm`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to measure [default: all but the tilings]
    #[arg(value_enum)]
    names: Vec<Name>,
    #[command(flatten)]
    gpu: GpuArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// The projections of DeepSeek-V3, of 1 to 4,096 tokens
    Projections,
    /// Into latent space, W_UK and rotation, of 16 and 128 heads
    Absorb,
    /// Out of latent space, W_UV
    Expand,
    /// The products, without the rotation, in every cut that the kernels know, beside the one that is chosen
    Tilings,
}

/// Runs the benchmarks.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Verdict> {
    let device = Device::cuda(args.gpu.device)?;
    let stream = device.stream()?;
    let environment = Environment::of(&device, &stream, args.gpu.commit.as_deref())?;
    let Device::Cuda(gpu) = &device else { bail!("matrix products are measured on a GPU") };
    let workspace = Workspace::new(&device)?;
    let bench = Bench { device: &device, gpu, stream: &stream, workspace: &workspace };
    let all = [Name::Projections, Name::Absorb, Name::Expand];
    let names = if args.names.is_empty() { &all[..] } else { &args.names };
    for name in names {
        let rows = match name {
            Name::Projections => projections::run(&bench)?,
            Name::Absorb => heads::absorb(&bench)?,
            Name::Expand => heads::expand(&bench)?,
            Name::Tilings => tilings::run(&bench)?,
        };
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
