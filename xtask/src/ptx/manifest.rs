//! `host/ptx/*manifest.json`: what the committed PTX was made from and what the assembler makes of it.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, ensure};
use oxmla_kernels::launch::Kernel;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::assemble::Assembled;
use super::source;
use super::usage::{self, Usage};
use crate::cuda_tools;
use crate::sass::listing::{self, Listing};
use crate::workspace::Workspace;

/// The whole file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// SHA-256 over `sources` and all else that decides the PTX, see `source.rs`.
    pub source_sha256: String,
    /// `rustc --version`.
    pub rustc: String,
    /// PTX ISA version that a driver must know to load the files.
    pub ptx_version: String,
    /// Release of the assembler that the figures below come from.
    pub ptxas: String,
    /// The files of PTX beside this one.
    pub modules: Vec<ModuleFigures>,
    /// What rustc read, relative to the workspace.
    pub sources: Vec<String>,
}

/// One file of PTX.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleFigures {
    /// What the module is called.
    pub name: String,
    /// SHA-256 of the PTX.
    pub ptx_sha256: String,
    /// In the order of the launch table.
    pub kernels: Vec<KernelFigures>,
}

/// One kernel: its launch and what ptxas made of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelFigures {
    /// Entry point.
    pub name: String,
    /// Threads per CTA.
    pub threads: u32,
    /// CTAs that fit on one SM.
    pub ctas_per_sm: u32,
    /// CTAs per cluster.
    pub cluster: u32,
    /// Leading parameters that are tensor maps.
    pub tensor_maps: u32,
    /// Dynamic shared memory per CTA, in bytes.
    pub shared_bytes: u32,
    /// Registers per thread at launch.
    pub registers: u32,
    /// Named barriers.
    pub barriers: u32,
    /// SASS instructions, padding included.
    pub instructions: usize,
    /// Warpgroup matrix products among them.
    pub hgmma: usize,
    /// TMA loads among them.
    pub utmaldg: usize,
}

impl Manifest {
    /// The file's text.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The figures of every kernel.
    pub fn kernels(&self) -> impl Iterator<Item = &KernelFigures> {
        self.modules.iter().flat_map(|module| &module.kernels)
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "PTX {} by {}, ptxas {}", self.ptx_version, self.rustc, self.ptxas)?;
        writeln!(
            f,
            "{:<32}{:>8}{:>11}{:>10}{:>14}{:>7}{:>9}",
            "kernel", "threads", "registers", "shared B", "instructions", "HGMMA", "UTMALDG"
        )?;
        for module in &self.modules {
            writeln!(f, "{}", module.name)?;
            for k in &module.kernels {
                writeln!(
                    f,
                    "  {:<30}{:>8}{:>11}{:>10}{:>14}{:>7}{:>9}",
                    k.name,
                    k.threads,
                    k.registers,
                    k.shared_bytes,
                    k.instructions,
                    k.hgmma,
                    k.utmaldg
                )?;
            }
        }
        Ok(())
    }
}

impl ModuleFigures {
    /// Judges a module, and disassembles it.
    pub fn new(workspace: &Workspace, assembled: &Assembled<'_>) -> Result<Self> {
        let module = assembled.module;
        let usage = assembled.usage()?;
        let listings = listing::disassemble(&cuda_tools::nvdisasm(workspace)?, &assembled.cubin)?;
        Ok(Self {
            name: module.name.to_owned(),
            ptx_sha256: ptx_sha256(assembled.ptx),
            kernels: KernelFigures::all(module.kernels, &usage, &listings)?,
        })
    }
}

impl KernelFigures {
    /// The figures of every kernel of a launch table, in its order.
    fn all(
        kernels: &[Kernel],
        usage: &usage::Kernels,
        listings: &BTreeMap<String, Listing>,
    ) -> Result<Vec<Self>> {
        ensure!(usage.len() == kernels.len(), "ptxas reports {} kernels", usage.len());
        kernels
            .iter()
            .map(|kernel| {
                let used = usage.get(kernel.name).context("ptxas reports no registers");
                let listing = listings.get(kernel.name).context("nvdisasm shows no code");
                Ok(Self::new(kernel, used?, listing?))
            })
            .collect()
    }

    fn new(kernel: &Kernel, usage: &Usage, listing: &Listing) -> Self {
        Self {
            name: kernel.name.to_owned(),
            threads: kernel.threads,
            ctas_per_sm: kernel.ctas_per_sm,
            cluster: kernel.cluster,
            tensor_maps: kernel.tensor_maps,
            shared_bytes: kernel.shared_bytes,
            registers: usage.registers,
            barriers: usage.barriers,
            instructions: listing.len(),
            hgmma: listing.count("HGMMA"),
            utmaldg: listing.count("UTMALDG"),
        }
    }
}

/// SHA-256 of the PTX, in hex.
pub fn ptx_sha256(ptx: &str) -> String {
    source::hex(&Sha256::digest(ptx))
}

/// `8.3` of `.version 8.3`.
pub fn ptx_version(ptx: &str) -> Result<String> {
    let version = ptx.lines().find_map(|line| line.strip_prefix(".version "));
    Ok(version.context("the PTX has no .version")?.trim().to_owned())
}
