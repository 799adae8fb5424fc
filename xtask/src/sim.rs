//! `cargo xtask sim`: a kernel in the SIMT machine, and the picture of what it did when.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use oxmla_kernels::launch::{DENSE_DECODE_BF16, DENSE_DECODE_F16};

use crate::process;
use crate::workspace::Workspace;

/// Options of `cargo xtask sim`.
#[derive(clap::Args)]
pub struct Args {
    /// Entry point
    #[arg(value_parser = PossibleValuesParser::new([DENSE_DECODE_BF16.name, DENSE_DECODE_F16.name]))]
    kernel: String,
    /// Draw what each warpgroup did when
    #[arg(long)]
    trace: bool,
    /// Where to draw it [default: KERNEL.svg, here]
    #[arg(long, value_name = "FILE.svg", requires = "trace")]
    out: Option<PathBuf>,
}

/// Runs one CTA with 64 rows and 8 blocks of 64 tokens.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let manifest = workspace.root.join("Cargo.toml");
    let mut cargo = process::cargo();
    // From here, so that a relative path means what its author thinks.
    cargo.args(["run", "--release", "--manifest-path"]).arg(manifest);
    cargo.args(["--package", "oxmla-kernels", "--features", "simt", "--example", "timeline", "--"]);
    cargo.arg(&args.kernel);
    if args.trace {
        let here = || Path::new(&args.kernel).with_extension("svg");
        cargo.arg(args.out.clone().unwrap_or_else(here));
    }
    process::run(&mut cargo)
}
