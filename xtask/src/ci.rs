//! `cargo xtask ci`: what a change must pass beside `cargo xtask test` and `cargo xtask ptx --check`.

use std::process::Command;

use anyhow::{Result, bail};

use crate::msrv;
use crate::process;
use crate::ptx::compile;
use crate::ptx::module::SOURCES;
use crate::ptx::nightly::Nightly;
use crate::report;
use crate::workspace::Workspace;

type Step = (&'static str, fn(&Workspace) -> Result<()>);

const STEPS: [Step; 8] = [
    ("format", format),
    ("clippy", clippy),
    ("clippy of the kernels for the GPU", clippy_kernels),
    ("libraries without their features", without_features),
    ("documentation", documentation),
    ("performance report", report::check),
    ("minimum Rust version", msrv::check),
    ("licences, duplicates and sources", deny),
];

/// Runs every step, so that one look shows all that fails.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        eprintln!("── {name}");
        if let Err(error) = step(workspace) {
            eprintln!("error: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join("; "));
    }
    Ok(())
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut cargo = process::cargo();
    cargo.current_dir(&workspace.root).args(arguments);
    cargo
}

/// Also of the workspaces inside this one.
fn format(workspace: &Workspace) -> Result<()> {
    ["Cargo.toml", "host/candle/Cargo.toml", "fuzz/Cargo.toml"].iter().try_for_each(|manifest| {
        let arguments = ["fmt", "--all", "--check", "--manifest-path", manifest];
        process::run(&mut cargo(workspace, &arguments))
    })
}

fn clippy(workspace: &Workspace) -> Result<()> {
    let arguments =
        ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-Dwarnings"];
    process::run(&mut cargo(workspace, &arguments))
}

/// The step above sees only what the kernel crate shows to the host.
fn clippy_kernels(workspace: &Workspace) -> Result<()> {
    let nightly = Nightly::find()?;
    SOURCES.iter().try_for_each(|source| {
        let mut cargo = compile::cargo(workspace, &nightly, source, "clippy");
        process::run(cargo.args(["--", "-Dwarnings"]))
    })
}

fn without_features(workspace: &Workspace) -> Result<()> {
    let packages = ["--package", "oxmla", "--package", "oxmla-ffi"];
    let mut clippy = cargo(workspace, &["clippy", "--no-default-features"]);
    process::run(clippy.args(packages).args(["--", "-Dwarnings"]))
}

fn documentation(workspace: &Workspace) -> Result<()> {
    let arguments = ["doc", "--workspace", "--all-features", "--no-deps"];
    process::run(cargo(workspace, &arguments).env("RUSTDOCFLAGS", "-Dwarnings"))
}

fn deny(workspace: &Workspace) -> Result<()> {
    let mut deny = cargo(workspace, &["deny", "--version"]);
    if !process::output(&mut deny)?.status.success() {
        eprintln!(
            "note: not checked; `cargo install cargo-deny` gives the program that reads deny.toml"
        );
        return Ok(());
    }
    process::run(&mut cargo(workspace, &["deny", "--all-features", "check"]))
}
