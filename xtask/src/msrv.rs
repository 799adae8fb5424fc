//! Whether the declared minimum Rust version is true.

use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::{MetadataCommand, semver::Version};

use crate::process;
use crate::workspace::Workspace;

/// No crate in the lock file may ask for a newer Rust than the workspace declares, and the workspace must
/// compile with the declared one where that toolchain is installed.
pub fn check(workspace: &Workspace) -> Result<()> {
    let metadata = MetadataCommand::new().current_dir(&workspace.root).exec()?;
    let declared = metadata
        .workspace_packages()
        .iter()
        .filter_map(|package| package.rust_version.clone())
        .min()
        .context("the workspace declares no rust-version")?;
    let newer: Vec<_> = metadata
        .packages
        .iter()
        .filter_map(|package| {
            let wanted = package.rust_version.as_ref().filter(|wanted| **wanted > declared)?;
            Some(format!("{} {} asks for Rust {wanted}", package.name, package.version))
        })
        .collect();
    if !newer.is_empty() {
        bail!("the workspace declares Rust {declared}, but\n  {}", newer.join("\n  "));
    }
    compile(workspace, &declared)
}

fn compile(workspace: &Workspace, declared: &Version) -> Result<()> {
    let toolchain = format!("{}.{}", declared.major, declared.minor);
    let mut rustc = Command::new("rustup");
    rustc.args(["run", &toolchain, "rustc", "--version"]);
    if !process::output(&mut rustc)?.status.success() {
        eprintln!(
            "note: dependencies allow Rust {declared}; not compiled with it, \
             `rustup toolchain install {toolchain} --profile minimal` makes that possible"
        );
        return Ok(());
    }
    let mut cargo = Command::new("rustup");
    cargo
        .current_dir(&workspace.root)
        .args([
            "run",
            &toolchain,
            "cargo",
            "check",
            "--workspace",
            "--all-features",
            "--target-dir",
        ])
        .arg(workspace.target.join("msrv"));
    process::run(&mut cargo)
}
