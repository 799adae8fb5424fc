//! `cargo xtask ptx`: kernels/ → PTX → launch bounds → ptxas → budgets → `host/ptx/`, for each PTX module.

mod assemble;
mod budget;
mod check;
pub mod compile;
mod divergence;
mod manifest;
pub mod module;
pub mod nightly;
mod patch;
mod source;
mod usage;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use self::budget::Budgets;
use self::manifest::{KernelFigures, Manifest};
use self::module::{MODULES, Module};
use self::nightly::Nightly;
use crate::cuda_tools;
use crate::sass::listing;
use crate::workspace::Workspace;

/// Options of `cargo xtask ptx`.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing; fail when host/ptx/ is not what kernels/ gives
    #[arg(long)]
    check: bool,
    /// Make what the kernels take now their budget, instead of failing where they take more
    #[arg(long, conflicts_with = "check")]
    accept_budgets: bool,
}

/// Writes `host/ptx/`, or checks it.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if args.check { check::run(workspace) } else { write(workspace, args.accept_budgets) }
}

/// Compiled, patched and assembled kernels of a module, not judged yet.
pub struct Assembled {
    module: &'static Module,
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
    pub fn build(
        workspace: &Workspace,
        nightly: &Nightly,
        module: &'static Module,
    ) -> Result<Self> {
        let compiled = compile::compile(workspace, nightly, module)?;
        let ptx = patch::patch(&compiled.ptx, module.kernels)?;
        let directory = workspace.target.join("kernels");
        let ptx_path = directory.join(module.ptx_file());
        let cubin = directory.join(module.cubin_file());
        fs::write(&ptx_path, &ptx)?;
        let report = assemble::assemble(&cuda_tools::ptxas(workspace)?, &ptx_path, &cubin)?;
        Ok(Self {
            module,
            ptx,
            sources: compiled.sources,
            ptx_path,
            cubin,
            report,
            warnings: compiled.warnings,
        })
    }

    /// What makes these kernels unfit to commit, if anything. Budgets aside.
    pub fn judge(&self) -> Result<()> {
        self.usage().map(drop)
    }

    fn usage(&self) -> Result<usage::Kernels> {
        divergence::check(&self.ptx).with_context(|| self.ptx_path.display().to_string())?;
        usage::parse(&self.report).with_context(|| self.ptx_path.display().to_string())
    }

    fn manifest(&self, workspace: &Workspace, nightly: &Nightly) -> Result<Manifest> {
        let usage = self.usage()?;
        let listings = listing::disassemble(&cuda_tools::nvdisasm(workspace)?, &self.cubin)?;
        Ok(Manifest {
            source_sha256: source::fingerprint(workspace, self.module, &self.sources)?,
            ptx_sha256: manifest::ptx_sha256(&self.ptx),
            rustc: nightly.rustc.clone(),
            ptx_version: manifest::ptx_version(&self.ptx)?,
            ptxas: cuda_tools::version(&cuda_tools::ptxas(workspace)?)?,
            kernels: KernelFigures::all(self.module.kernels, &usage, &listings)?,
            sources: self.sources.clone(),
        })
    }
}

fn write(workspace: &Workspace, accept_budgets: bool) -> Result<()> {
    let nightly = Nightly::find()?;
    if !nightly.is_pinned() {
        eprintln!(
            "note: {} gives other PTX than the pinned toolchain; for that one\n    {}",
            nightly.rustc,
            nightly::pinned_hint()
        );
    }
    let build = |module| {
        let assembled = Assembled::build(workspace, &nightly, module)?;
        let manifest = assembled.manifest(workspace, &nightly)?;
        print!("{manifest}");
        Ok((assembled, manifest))
    };
    // Nothing is written before everything has been judged.
    let built: Vec<_> = MODULES.iter().map(build).collect::<Result<_>>()?;
    let kernels = || built.iter().flat_map(|(_, manifest)| &manifest.kernels);
    if accept_budgets {
        Budgets::of(kernels()).write(workspace)?;
    } else {
        Budgets::read(workspace)?.check(kernels())?;
    }
    let directory = workspace.ptx_dir();
    fs::create_dir_all(&directory)?;
    for (assembled, manifest) in &built {
        fs::write(directory.join(assembled.module.ptx_file()), &assembled.ptx)?;
        fs::write(directory.join(assembled.module.manifest_file), manifest.to_json()?)?;
    }
    Ok(())
}
