//! rustc's part: kernels/ to PTX.

use std::fs;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{Artifact, Message, diagnostic::DiagnosticLevel};

use super::module::Source;
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
    /// Files that rustc read, relative to the workspace, sorted.
    pub sources: Vec<String>,
    /// Warnings about the kernels' code; they were printed.
    pub warnings: usize,
}

/// `cargo <subcommand>` for kernels as the GPU gets them, in a target directory of their own, so
/// that host builds never wait for it.
pub fn cargo(
    workspace: &Workspace,
    nightly: &Nightly,
    source: &Source,
    subcommand: &str,
) -> Command {
    let mut cargo = nightly.command("cargo");
    cargo
        .current_dir(&workspace.root)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", RUSTFLAGS)
        .args([subcommand, "--package", "oxmla-kernels", "--lib", "--profile", "kernels"])
        .args(["--target", TARGET, "-Zbuild-std=core", "--target-dir"])
        .arg(workspace.target.join("kernels"));
    if let Some(feature) = source.feature {
        cargo.args(["--features", feature]);
    }
    cargo
}

/// Compiles kernels.
pub fn compile(workspace: &Workspace, nightly: &Nightly, source: &Source) -> Result<Compiled> {
    let mut cargo = cargo(workspace, nightly, source, "rustc");
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
    let read = |path: PathBuf| {
        fs::read_to_string(&path).with_context(|| format!("rustc left no {}", path.display()))
    };
    let sources = sources(&read(path.with_extension("d"))?)?;
    Ok(Compiled { ptx: read(path)?, sources, warnings })
}

/// Cargo does not list what `--emit=asm` adds: it lies beside the crate's metadata, under the same name.
fn assembly_path(artifact: &Artifact) -> Option<PathBuf> {
    let metadata = artifact.filenames.iter().find(|path| path.extension() == Some("rmeta"))?;
    let stem = metadata.file_stem()?.strip_prefix("lib")?;
    Some(metadata.with_file_name(format!("{stem}.s")).into_std_path_buf())
}

/// What the `.s` was made of, from rustc's dep-info: `target.s: kernels/src/lib.rs kernels/src/abi.rs`.
fn sources(dep_info: &str) -> Result<Vec<String>> {
    let files = dep_info.lines().find_map(|line| line.split_once(".s: ").map(|(_, files)| files));
    let files = files.context("rustc's dep-info does not name the sources of the PTX")?;
    let mut sources: Vec<String> = files.split_whitespace().map(str::to_owned).collect();
    for source in &sources {
        ensure!(
            source.starts_with("kernels/"),
            "the kernels include {source}, and what decides the PTX must lie in kernels/"
        );
    }
    sources.sort();
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_come_from_the_line_of_the_assembly() {
        let dep_info = "target/k.d: kernels/src/lib.rs\n\n\
                        target/k.s: kernels/src/lib.rs kernels/src/abi.rs\n\n\
                        kernels/src/lib.rs:\nkernels/src/abi.rs:\n";
        assert_eq!(sources(dep_info).unwrap(), ["kernels/src/abi.rs", "kernels/src/lib.rs"]);
        assert!(sources("target/k.rmeta: kernels/src/lib.rs\n").is_err());
    }

    #[test]
    fn sources_outside_the_crate_are_refused() {
        let error = sources("k.s: kernels/src/lib.rs ../table.rs\n").unwrap_err().to_string();
        assert!(error.contains("../table.rs"), "{error}");
    }
}
