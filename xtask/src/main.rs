//! `cargo xtask`: builds the PTX, shows what the assembler made of it, and runs tests, demo and bench.
//!
//! Runs on stable Rust with nothing else installed; only `ptx` and `sass` fetch or ask for more.

mod cuda_tools;
mod process;
mod ptx;
mod sass;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, check and measure oxmla")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile the kernels to PTX, assemble them, and write host/ptx/
    Ptx(ptx::Args),
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
    }
}
