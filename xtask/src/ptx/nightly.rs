//! The nightly toolchain that compiles the kernels.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process;

/// What made the committed PTX: rustup's name for it. Another nightly compiles the kernels as well, to
/// other PTX.
const PINNED: &str = "nightly-2026-05-20";
/// How rustc of [`PINNED`] calls itself: rustup's date is the day after the commit's.
const PINNED_RUSTC: &str = "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)";

/// Names another toolchain than `nightly`.
const TOOLCHAIN_VARIABLE: &str = "OXMLA_NIGHTLY";
/// Names a program that installs rust-src where rustup's server is out of reach; it gets the toolchain's
/// name as its argument.
const INSTALLER_VARIABLE: &str = "OXMLA_RUST_SRC_INSTALLER";

/// A toolchain that can build `core` for the GPU.
pub struct Nightly {
    name: String,
    /// First line of `rustc --version`.
    pub rustc: String,
}

impl Nightly {
    /// Finds the toolchain and makes sure that it has the sources of `core`.
    pub fn find() -> Result<Self> {
        let nightly = Self::find_compiler()?;
        nightly.ensure_rust_src()?;
        Ok(nightly)
    }

    /// Finds the toolchain, with the sources of `core` or without.
    pub fn find_compiler() -> Result<Self> {
        let name = env::var(TOOLCHAIN_VARIABLE).unwrap_or_else(|_| "nightly".into());
        let rustc = process::stdout(command(&name, "rustc").arg("--version")).with_context(|| {
            format!(
                "the kernels need a nightly toolchain and `{name}` is not there; install it with \
                 `rustup toolchain install {PINNED} --component rust-src` and \
                 `export {TOOLCHAIN_VARIABLE}={PINNED}`"
            )
        })?;
        let rustc = rustc.trim().to_owned();
        ensure!(
            rustc.contains("-nightly"),
            "{TOOLCHAIN_VARIABLE} names {rustc}, and only a nightly compiles for the GPU"
        );
        Ok(Self { rustc, name })
    }

    /// A program of this toolchain.
    pub fn command(&self, program: &str) -> Command {
        command(&self.name, program)
    }

    /// Whether the toolchain is the one the repository names.
    pub fn is_pinned(&self) -> bool {
        self.rustc == PINNED_RUSTC
    }

    fn ensure_rust_src(&self) -> Result<()> {
        if self.has_rust_src()? {
            return Ok(());
        }
        if let Some(installer) = env::var_os(INSTALLER_VARIABLE) {
            process::run(Command::new(installer).arg(&self.name))?;
            if self.has_rust_src()? {
                return Ok(());
            }
            bail!("the installer in {INSTALLER_VARIABLE} ended well but left no rust-src");
        }
        bail!(
            "toolchain `{name}` lacks the sources of core; install them with\n    \
             rustup component add rust-src --toolchain {name}\n\
             or, where rustup's server is out of reach, name a script that does it in {INSTALLER_VARIABLE}",
            name = self.name
        );
    }

    /// Whether the sources of `core` are there.
    pub fn has_rust_src(&self) -> Result<bool> {
        let sysroot = process::stdout(self.command("rustc").args(["--print", "sysroot"]))?;
        Ok(Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file())
    }
}

/// `rustup run`, because `cargo +nightly` is rustup's only when its proxy comes first on PATH.
fn command(toolchain: &str, program: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, program]);
    command
}

/// How to get the toolchain that made the committed PTX.
pub fn pinned_hint() -> String {
    format!(
        "rustup toolchain install {PINNED} --component rust-src && export {TOOLCHAIN_VARIABLE}={PINNED}"
    )
}
