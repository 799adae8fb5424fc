//! ptxas's part: PTX to a cubin, kept only to be looked at.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// Architecture of the cubin.
const ARCH: &str = "sm_90a";

/// Assembles `ptx` and returns what `ptxas -v` says about the kernels.
pub fn assemble(ptxas: &Path, ptx: &Path, cubin: &Path) -> Result<String> {
    let mut command = Command::new(ptxas);
    command.args(["-v", "-arch", ARCH]).arg(ptx).arg("-o").arg(cubin);
    let output = process::output(&mut command)?;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        bail!("`{}` failed:\n{}", process::describe(&command), report.trim_end());
    }
    Ok(report)
}
