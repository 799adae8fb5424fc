//! `cargo xtask ptx`: kernels/ → PTX → launch bounds → modules → ptxas → budgets → `host/ptx/`.

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
mod split;
mod usage;

use std::fs;

use anyhow::{Context, Result};

use self::assemble::Assembled;
use self::budget::Budgets;
use self::manifest::{Manifest, ModuleFigures};
use self::module::{Module, SOURCES, Source};
use self::nightly::Nightly;
use crate::cuda_tools;
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

/// Kernels compiled, patched and divided among their modules, not judged yet.
pub struct Built {
    source: &'static Source,
    /// The modules, and the PTX of each.
    modules: Vec<(Module, String)>,
    sources: Vec<String>,
    warnings: usize,
}

impl Built {
    /// Builds from the sources.
    pub fn new(workspace: &Workspace, nightly: &Nightly, source: &'static Source) -> Result<Self> {
        let compiled = compile::compile(workspace, nightly, source)?;
        let modules = source.modules();
        let kernels: Vec<_> = modules.iter().flat_map(|module| module.kernels).copied().collect();
        let ptx = patch::patch(&compiled.ptx, &kernels)?;
        let texts = split::split(&ptx, &modules)?;
        let modules = modules.into_iter().zip(texts).collect();
        Ok(Self { source, modules, sources: compiled.sources, warnings: compiled.warnings })
    }

    /// Assembles one of the modules.
    pub fn assemble(&self, workspace: &Workspace, module: &Module) -> Result<Assembled<'_>> {
        let of_that_name = |(built, _): &&(Module, String)| built.name == module.name;
        let (module, ptx) = self.modules.iter().find(of_that_name).context("a module of these")?;
        Assembled::new(workspace, module, ptx)
    }

    /// Assembles all of them, side by side, and judges them, budgets aside.
    fn manifest(&self, workspace: &Workspace, nightly: &Nightly) -> Result<Manifest> {
        let ptxas = cuda_tools::version(&cuda_tools::ptxas(workspace)?)?;
        cuda_tools::nvdisasm(workspace)?;
        let (_, ptx) = self.modules.first().context("a source has modules")?;
        Ok(Manifest {
            source_sha256: source::fingerprint(workspace, self.source, &self.sources)?,
            rustc: nightly.rustc.clone(),
            ptx_version: manifest::ptx_version(ptx)?,
            ptxas,
            modules: assemble::side_by_side(&self.modules, |(module, ptx)| {
                ModuleFigures::new(workspace, &Assembled::new(workspace, module, ptx)?)
            })?,
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
    let build = |source| {
        let built = Built::new(workspace, &nightly, source)?;
        let manifest = built.manifest(workspace, &nightly)?;
        print!("{manifest}");
        Ok((built, manifest))
    };
    // Nothing is written before everything has been judged.
    let built: Vec<_> = SOURCES.iter().map(build).collect::<Result<_>>()?;
    let kernels = || built.iter().flat_map(|(_, manifest)| manifest.kernels());
    if accept_budgets {
        Budgets::of(kernels()).write(workspace)?;
    } else {
        Budgets::read(workspace)?.check(kernels())?;
    }
    let directory = workspace.ptx_dir();
    fs::create_dir_all(&directory)?;
    for stray in check::strays(workspace)? {
        fs::remove_file(directory.join(stray))?;
    }
    for (built, manifest) in &built {
        for (module, ptx) in &built.modules {
            fs::write(directory.join(module.ptx_file()), ptx)?;
        }
        fs::write(directory.join(built.source.manifest_file), manifest.to_json()?)?;
    }
    Ok(())
}
