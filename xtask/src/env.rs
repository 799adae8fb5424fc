//! `cargo xtask env`: the toolchain report of a bug report. Whatever is missing is a line, not a failure.

use std::process::Command;
use std::thread;

use anyhow::Result;

use crate::cuda_tools;
use crate::process;
use crate::ptx::nightly::Nightly;
use crate::workspace::Workspace;

/// Prints the report.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mut lines = vec![
        ("oxmla", commit(workspace)),
        ("system", first_line("uname", &["-srm"])),
        ("processors", processors()),
        ("rustc", first_line("rustc", &["--version"])),
        ("cargo", first_line("cargo", &["--version"])),
        ("nightly", nightly()),
    ];
    lines.extend(cuda_tools::report(workspace));
    lines.push(("GPUs", gpus()));
    for (name, value) in lines {
        println!("{name:<12}{value}");
    }
    Ok(())
}

fn commit(workspace: &Workspace) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut git = Command::new("git");
    git.current_dir(&workspace.root).args(["describe", "--always", "--dirty"]);
    match process::stdout(&mut git) {
        Ok(commit) => format!("{version}, commit {}", commit.trim()),
        Err(_) => format!("{version}, not a git checkout"),
    }
}

fn processors() -> String {
    match thread::available_parallelism() {
        Ok(count) => count.to_string(),
        Err(error) => error.to_string(),
    }
}

fn nightly() -> String {
    match Nightly::find_compiler() {
        Ok(nightly) => {
            let sources = match nightly.has_rust_src() {
                Ok(true) => "with rust-src",
                Ok(false) => "without rust-src",
                Err(_) => "sysroot unknown",
            };
            let pinned = if nightly.is_pinned() { "the pinned one" } else { "not the pinned one" };
            format!("{}, {sources}, {pinned}", nightly.rustc)
        }
        Err(error) => error.to_string(),
    }
}

fn gpus() -> String {
    let query = ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"];
    match process::stdout(Command::new("nvidia-smi").args(query)) {
        Ok(gpus) => gpus.trim().replace('\n', "; "),
        Err(_) => "none that nvidia-smi shows".to_owned(),
    }
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    match process::stdout(Command::new(program).args(arguments)) {
        Ok(text) => text.lines().next().unwrap_or_default().to_owned(),
        Err(error) => error.to_string(),
    }
}
