//! `oxmla`: the command line of the crate.
//!
//! Results go to standard output, progress and errors to standard error. The exit code is 0 when the command
//! has done its work, 1 when it could not, 2 when its arguments make no sense, and 3 when it found results
//! that are too far from their reference.

mod backend;
mod bench;
mod compare;
mod demo;
mod devices;
mod elements;
mod layer;
mod replay;
mod statistics;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Multi-head latent attention for NVIDIA Hopper.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the devices, and say which one is used
    Devices,
    /// Decode a batch of requests at DeepSeek-V3 size, and check it
    Demo(demo::Args),
    /// Decode tensors that a model has dumped, and compare the result
    Replay(replay::Args),
    /// Load the attention of one layer of a checkpoint, and run it
    Layer(layer::Args),
    /// Measure the time of a decode call
    Bench(Box<bench::Args>),
}

/// What a command has to say about results that it compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// They are near enough, or there was nothing to compare.
    Passed,
    /// They are past the tolerance.
    PastTolerance,
}

impl Verdict {
    /// Passed only if both are.
    fn and(self, other: Self) -> Self {
        if self == Self::Passed { other } else { self }
    }
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    match run(&command, &mut io::stdout().lock()) {
        Ok(Verdict::Passed) => ExitCode::SUCCESS,
        Ok(Verdict::PastTolerance) => ExitCode::from(3),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to when standard error is closed.
            let _ = writeln!(io::stderr(), "oxmla: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<Verdict> {
    match command {
        Command::Devices => devices::run(out),
        Command::Demo(args) => demo::run(args, out),
        Command::Replay(args) => replay::run(args, out),
        Command::Layer(args) => layer::run(args, out),
        Command::Bench(args) => bench::run(args, out),
    }
}

/// Whether the reader of standard output had enough, as `head` has.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_closed_pipe(&closed.into()));
        assert!(!is_closed_pipe(&io::Error::from(io::ErrorKind::NotFound).into()));
    }
}
