//! The committed PTX is that of the launch tables: what a consumer of the crate gets without building a kernel.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use oxmla_kernels::launch::{self, Kernel};
use oxmla_kernels::micro;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Registers of a multiprocessor.
const REGISTERS: u32 = 65_536;
/// Shared memory that a CTA on sm_90 may have.
const SHARED_BYTES: u32 = 232_448;

#[derive(Deserialize)]
struct Manifest {
    ptx_sha256: String,
    ptx_version: String,
    kernels: Vec<Figures>,
}

/// What the manifest says of a kernel.
#[derive(Deserialize)]
struct Figures {
    name: String,
    threads: u32,
    ctas_per_sm: u32,
    cluster: u32,
    tensor_maps: u32,
    shared_bytes: u32,
    registers: u32,
    hgmma: usize,
    utmaldg: usize,
}

/// A PTX module: its files, and what they are made from.
struct Module {
    ptx: &'static str,
    manifest: &'static str,
    kernels: &'static [Kernel],
}

const LIBRARY: Module =
    Module { ptx: "oxmla_sm90a.ptx", manifest: "manifest.json", kernels: launch::KERNELS };
const MICRO: Module = Module {
    ptx: "oxmla_micro_sm90a.ptx",
    manifest: "micro_manifest.json",
    kernels: micro::launch::KERNELS,
};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/ptx").join(name)
}

impl Module {
    fn ptx(&self) -> Result<String> {
        fs::read_to_string(path(self.ptx)).context("made by `cargo xtask ptx`")
    }

    fn manifest(&self) -> Result<Manifest> {
        let text = fs::read_to_string(path(self.manifest)).context("made by `cargo xtask ptx`")?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// The head of an entry point: parameters and directives, up to its body.
fn head<'a>(ptx: &'a str, kernel: &Kernel) -> Result<&'a str> {
    let start = ptx.find(&format!(".visible .entry {}(", kernel.name)).context(kernel.name)?;
    let end = ptx[start..].find('{').context("an entry without a body")?;
    Ok(&ptx[start..start + end])
}

#[test]
fn the_manifest_has_the_kernels_of_the_launch_table() -> Result<()> {
    for module in [LIBRARY, MICRO] {
        let manifest = module.manifest()?;
        assert_eq!(manifest.kernels.len(), module.kernels.len());
        for (found, kernel) in manifest.kernels.iter().zip(module.kernels) {
            let listed = Kernel {
                name: kernel.name,
                threads: found.threads,
                ctas_per_sm: found.ctas_per_sm,
                cluster: found.cluster,
                tensor_maps: found.tensor_maps,
                shared_bytes: found.shared_bytes,
            };
            assert_eq!((found.name.as_str(), listed), (kernel.name, *kernel));
        }
    }
    Ok(())
}

#[test]
fn the_manifest_is_of_this_ptx() -> Result<()> {
    for module in [LIBRARY, MICRO] {
        let (manifest, ptx) = (module.manifest()?, module.ptx()?);
        let sha256: String =
            Sha256::digest(&ptx).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(manifest.ptx_sha256, sha256);
        assert!(ptx.contains(&format!("\n.version {}\n", manifest.ptx_version)));
        assert!(ptx.contains("\n.target sm_90a"));
    }
    Ok(())
}

#[test]
fn every_entry_has_its_launch_bounds() -> Result<()> {
    for module in [LIBRARY, MICRO] {
        let ptx = module.ptx()?;
        assert_eq!(ptx.matches(".visible .entry ").count(), module.kernels.len());
        for kernel in module.kernels {
            let head = head(&ptx, kernel)?;
            let Kernel { name, threads, ctas_per_sm, cluster, tensor_maps, .. } = kernel;
            assert!(head.contains(&format!("\n.maxntid {threads}, 1, 1\n")), "{name}: {head}");
            assert!(head.contains(&format!("\n.minnctapersm {ctas_per_sm}\n")), "{name}: {head}");
            assert_eq!(head.contains(".reqnctapercluster"), *cluster > 1, "{name}: {head}");
            let maps = head.matches(".param .align 64 .b8").count();
            assert_eq!(maps, *tensor_maps as usize, "{name}: {head}");
        }
    }
    Ok(())
}

/// No stack, and nothing that another module would have to bring.
#[test]
fn the_kernels_stand_alone() -> Result<()> {
    for module in [LIBRARY, MICRO] {
        let ptx = module.ptx()?;
        for word in [".local", "__local_depot", ".extern .func", "\n\tcall"] {
            assert!(!ptx.contains(word), "{} contains `{word}`", module.ptx);
        }
    }
    Ok(())
}

#[test]
fn a_cta_fits_on_a_multiprocessor() -> Result<()> {
    let kernels = [LIBRARY.manifest()?.kernels, MICRO.manifest()?.kernels];
    for figures in kernels.into_iter().flatten() {
        let Figures { name, threads, ctas_per_sm, shared_bytes, registers, .. } = &figures;
        assert!(registers * threads * ctas_per_sm <= REGISTERS, "{name}: {registers} registers");
        assert!(*shared_bytes <= SHARED_BYTES, "{name}: {shared_bytes} bytes of shared memory");
    }
    Ok(())
}

/// What loads through tensor maps multiplies on the tensor cores, and the loads are TMA's.
#[test]
fn matrix_kernels_use_tensor_cores_and_tma() -> Result<()> {
    for figures in LIBRARY.manifest()?.kernels {
        let Figures { name, tensor_maps, hgmma, utmaldg, .. } = &figures;
        assert_eq!(*tensor_maps > 0, *hgmma > 0, "{name}: {hgmma} HGMMA");
        assert_eq!(*tensor_maps > 0, *utmaldg > 0, "{name}: {utmaldg} UTMALDG");
    }
    Ok(())
}
