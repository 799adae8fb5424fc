//! rustc's part: kernels/ to PTX.

use std::fs;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Artifact, Message, diagnostic::DiagnosticLevel};

use super::nightly::Nightly;
use crate::process;
use crate::workspace::Workspace;

/// Target of the kernels.
pub const TARGET: &str = "nvptx64-nvidia-cuda";

/// - PTX 8.3 (CUDA 12.3) is the oldest that has every instruction in use, so that old drivers load it.
/// - immediate-abort leaves no panic machinery behind, which would be an unresolved call.
pub const RUSTFLAGS: &str =
    "-Ctarget-cpu=sm_90a -Ctarget-feature=+ptx83 -Zunstable-options -Cpanic=immediate-abort";

const CRATE: &str = "oxmla_kernels";

/// What rustc made of kernels/.
pub struct Compiled {
    /// PTX as LLVM wrote it.
    pub ptx: String,
    /// Warnings about the kernels' code; they were printed.
    pub warnings: usize,
}

/// `cargo <subcommand>` for the kernels as the GPU gets them, in a target directory of their own, so that
/// host builds never wait for it.
pub fn cargo(workspace: &Workspace, nightly: &Nightly, subcommand: &str) -> Command {
    let mut cargo = nightly.command("cargo");
    cargo
        .current_dir(&workspace.root)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", RUSTFLAGS)
        .args([subcommand, "--package", "oxmla-kernels", "--lib", "--profile", "kernels"])
        .args(["--target", TARGET, "-Zbuild-std=core", "--target-dir"])
        .arg(workspace.target.join("kernels"));
    cargo
}

/// Compiles the kernels.
pub fn compile(workspace: &Workspace, nightly: &Nightly) -> Result<Compiled> {
    let mut cargo = cargo(workspace, nightly, "rustc");
    cargo.args(["--message-format=json", "--", "--emit=asm"]).stdout(Stdio::piped());
    let mut child = cargo.spawn().context("cannot start rustup")?;
    let messages = BufReader::new(child.stdout.take().context("cargo's output is piped")?);

    let mut warnings = 0;
    let mut assembly = None;
    for message in Message::parse_stream(messages) {
        match message? {
            Message::CompilerMessage(message) => {
                let diagnostic = message.message;
                // About no line of code: that `ptx83` is unstable, on every build.
                if diagnostic.level == DiagnosticLevel::Warning && diagnostic.spans.is_empty() {
                    continue;
                }
                eprint!("{}", diagnostic.rendered.as_deref().unwrap_or_default());
                warnings += usize::from(diagnostic.level == DiagnosticLevel::Warning);
            }
            Message::CompilerArtifact(artifact) if artifact.target.name == CRATE => {
                assembly = assembly_path(&artifact);
            }
            _ => {}
        }
    }
    if !child.wait()?.success() {
        bail!("the kernels do not compile: `{}`", process::describe(&cargo));
    }
    let path = assembly.context("cargo reports no artifact of the kernel crate")?;
    let ptx = fs::read_to_string(&path)
        .with_context(|| format!("rustc left no PTX at {}", path.display()))?;
    Ok(Compiled { ptx, warnings })
}

/// Cargo does not list what `--emit=asm` adds: it lies beside the crate's metadata, under the same name.
fn assembly_path(artifact: &Artifact) -> Option<PathBuf> {
    let metadata = artifact.filenames.iter().find(|path| path.extension() == Some("rmeta"))?;
    let stem = metadata.file_stem()?.strip_prefix("lib")?;
    Some(metadata.with_file_name(format!("{stem}.s")).into_std_path_buf())
}
