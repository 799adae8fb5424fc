//! ptxas's part: PTX to a cubin, kept only to be looked at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::usage::{self, Usage};
use crate::process;
use crate::workspace::Workspace;

/// Architecture of the cubin.
pub const ARCH: &str = "sm_90a";

/// Where `ptx` leaves the cubin of its last run.
pub fn cubin_path(workspace: &Workspace) -> PathBuf {
    workspace.target.join("kernels").join("oxmla_sm90a.cubin")
}

/// Assembles `ptx` and returns what each kernel uses; a kernel that would be slow is an error.
pub fn assemble(ptxas: &Path, ptx: &Path, cubin: &Path) -> Result<BTreeMap<String, Usage>> {
    let mut command = Command::new(ptxas);
    command.args(["-v", "-arch", ARCH]).arg(ptx).arg("-o").arg(cubin);
    let output = process::output(&mut command)?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("`{}` failed:\n{}", process::describe(&command), text.trim_end());
    }
    usage::parse(&text).with_context(|| format!("lines are those of {}", ptx.display()))
}
