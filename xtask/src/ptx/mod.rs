//! `cargo xtask ptx`: kernels/ → PTX → launch bounds → ptxas → `host/ptx/`.

mod assemble;
mod check;
pub mod compile;
mod manifest;
pub mod nightly;
mod patch;
mod source;
mod usage;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use oxmla_kernels::launch::KERNELS;

use self::manifest::{KernelFigures, Manifest};
use self::nightly::Nightly;
use crate::cuda_tools;
use crate::sass::listing;
use crate::workspace::Workspace;

const PTX_FILE: &str = "oxmla_sm90a.ptx";
const CUBIN_FILE: &str = "oxmla_sm90a.cubin";
const MANIFEST_FILE: &str = "manifest.json";

/// Options of `cargo xtask ptx`.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing; fail when host/ptx/ is not what kernels/ gives
    #[arg(long)]
    check: bool,
}

/// Writes `host/ptx/`, or checks it.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if args.check { check::run(workspace) } else { write(workspace) }
}

/// Compiled, patched and assembled kernels, not judged yet.
pub struct Assembled {
    ptx: String,
    sources: Vec<String>,
    ptx_path: PathBuf,
    /// Machine code, for the disassembler.
    pub cubin: PathBuf,
    report: String,
    warnings: usize,
}

impl Assembled {
    /// Builds from the sources; what it makes stays in the target directory, where people find it even
    /// when ptxas refuses.
    pub fn build(workspace: &Workspace, nightly: &Nightly) -> Result<Self> {
        let compiled = compile::compile(workspace, nightly)?;
        let ptx = patch::patch(&compiled.ptx, KERNELS)?;
        let directory = workspace.target.join("kernels");
        let ptx_path = directory.join(PTX_FILE);
        let cubin = directory.join(CUBIN_FILE);
        fs::write(&ptx_path, &ptx)?;
        let report = assemble::assemble(&cuda_tools::ptxas(workspace)?, &ptx_path, &cubin)?;
        Ok(Self {
            ptx,
            sources: compiled.sources,
            ptx_path,
            cubin,
            report,
            warnings: compiled.warnings,
        })
    }

    /// What makes these kernels unfit to commit, if anything.
    pub fn judge(&self) -> Result<()> {
        self.usage().map(drop)
    }

    fn usage(&self) -> Result<usage::Kernels> {
        usage::parse(&self.report).with_context(|| self.ptx_path.display().to_string())
    }

    fn manifest(&self, workspace: &Workspace, nightly: &Nightly) -> Result<Manifest> {
        let usage = self.usage()?;
        let listings = listing::disassemble(&cuda_tools::nvdisasm(workspace)?, &self.cubin)?;
        Ok(Manifest {
            source_sha256: source::fingerprint(workspace, &self.sources)?,
            ptx_sha256: manifest::ptx_sha256(&self.ptx),
            rustc: nightly.rustc.clone(),
            ptx_version: manifest::ptx_version(&self.ptx)?,
            ptxas: cuda_tools::version(&cuda_tools::ptxas(workspace)?)?,
            kernels: KernelFigures::all(&usage, &listings)?,
            sources: self.sources.clone(),
        })
    }
}

fn write(workspace: &Workspace) -> Result<()> {
    let nightly = Nightly::find()?;
    if !nightly.is_pinned() {
        eprintln!(
            "note: {} gives other PTX than the pinned toolchain; for that one\n    {}",
            nightly.rustc,
            nightly::pinned_hint()
        );
    }
    let assembled = Assembled::build(workspace, &nightly)?;
    let manifest = assembled.manifest(workspace, &nightly)?;
    let directory = workspace.ptx_dir();
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(PTX_FILE), &assembled.ptx)?;
    fs::write(directory.join(MANIFEST_FILE), manifest.to_json()?)?;
    print!("{manifest}");
    Ok(())
}
