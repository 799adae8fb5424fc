//! `cargo xtask`: builds the PTX, shows what the assembler made of it, and runs simulator, tests, demo and bench.
//!
//! Runs on stable Rust with nothing else installed; only `ptx` and `sass` fetch or ask for more.

mod ci;
mod cuda_tools;
mod env;
mod msrv;
mod process;
mod ptx;
mod report;
mod run;
mod sass;
mod sim;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Build, check and measure oxmla")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile the kernels to PTX, assemble them, and write host/ptx/
    Ptx(ptx::Args),
    /// Print the machine code of a kernel, with counts
    Sass(sass::Args),
    /// Run a kernel in the SIMT machine, and draw what its warpgroups do when
    Sim(sim::Args),
    /// Run the main job once: `oxmla demo`, on the GPU when there is one
    #[command(disable_help_flag = true)]
    Demo(run::Arguments),
    /// Measure a configuration: `oxmla bench`
    #[command(disable_help_flag = true)]
    Bench(run::Arguments),
    /// Write docs/performance.md and its plots from the committed measurements
    Report(report::Args),
    /// Run the tests
    Test(run::TestArgs),
    /// Run what a change must pass beside the tests: format, lints, documentation, MSRV, licences
    Ci,
    /// Print the toolchain report that a bug report needs
    Env,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Ptx(args) => ptx::run(&workspace, &args),
        Command::Sass(args) => sass::run(&workspace, &args),
        Command::Sim(args) => sim::run(&workspace, &args),
        Command::Demo(args) => run::oxmla(&workspace, "demo", &args),
        Command::Bench(args) => run::oxmla(&workspace, "bench", &args),
        Command::Report(args) => report::run(&workspace, &args),
        Command::Test(args) => run::test(&workspace, &args),
        Command::Ci => ci::run(&workspace),
        Command::Env => env::run(&workspace),
    }
}
