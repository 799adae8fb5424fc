//! `cargo xtask demo`, `bench` and `test`: cargo with the right package, profile and features.

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// What goes on to the program that runs.
#[derive(clap::Args)]
pub struct Arguments {
    /// Handed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct TestArgs {
    /// Run the suite on the GPU instead, and fail where there is none
    #[arg(long)]
    gpu: bool,
    #[command(flatten)]
    rest: Arguments,
}

/// Runs a subcommand of the `oxmla` program.
pub fn oxmla(workspace: &Workspace, subcommand: &str, args: &Arguments) -> Result<()> {
    process::run(
        process::cargo()
            .current_dir(&workspace.root)
            .args(["run", "--release", "--package", "oxmla", "--features", "cli", "--bin", "oxmla"])
            .args(["--", subcommand])
            .args(&args.arguments),
    )
}

/// Runs the tests that need no GPU, or those that do.
pub fn test(workspace: &Workspace, args: &TestArgs) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.current_dir(&workspace.root);
    if args.gpu {
        cargo.args(["run", "--release", "--package", "oxmla-tests", "--features", "gpu"]);
        cargo.args(["--bin", "gpu-suite", "--"]);
        return process::run(cargo.args(&args.rest.arguments));
    }
    cargo.args(["test", "--workspace", "--all-features"]);
    process::run(cargo.args(&args.rest.arguments))?;
    beside_candle(workspace, args)
}

/// Runs the tests of the crate for candle, which is a workspace of its own.
fn beside_candle(workspace: &Workspace, args: &TestArgs) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.current_dir(&workspace.root);
    cargo.args(["test", "--manifest-path", "host/candle/Cargo.toml", "--target-dir"]);
    process::run(cargo.arg(&workspace.target).args(&args.rest.arguments))
}
