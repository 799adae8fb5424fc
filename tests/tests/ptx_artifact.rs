//! The committed PTX is that of the launch tables: what a consumer of the crate gets without building a kernel.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use oxmla_kernels::family::Family;
use oxmla_kernels::launch::Kernel;
use oxmla_kernels::micro;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Registers of a multiprocessor.
const REGISTERS: u32 = 65_536;
/// Shared memory that a CTA on sm_90 may have.
const SHARED_BYTES: u32 = 232_448;

#[derive(Deserialize)]
struct Manifest {
    ptx_version: String,
    modules: Vec<Described>,
}

/// What the manifest says of a module.
#[derive(Deserialize)]
struct Described {
    name: String,
    ptx_sha256: String,
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

/// A PTX module: what it is made from, what its manifest says of it, and its PTX.
struct Module {
    kernels: &'static [Kernel],
    ptx_version: String,
    described: Described,
    ptx: String,
}

fn read(name: &str) -> Result<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/ptx");
    fs::read_to_string(directory.join(name)).context("made by `cargo xtask ptx`")
}

/// The modules of a manifest, which has those that are listed, in that order.
fn described(manifest: &str, listed: &[(&str, &'static [Kernel])]) -> Result<Vec<Module>> {
    let Manifest { ptx_version, modules } = serde_json::from_str(&read(manifest)?)?;
    let names: Vec<_> = listed.iter().map(|(name, _)| *name).collect();
    assert_eq!(modules.iter().map(|module| &module.name).collect::<Vec<_>>(), names);
    let module = |(described, (name, kernels)): (_, &(&str, &'static [Kernel]))| {
        let ptx = read(&format!("oxmla_{name}_sm90a.ptx"))?;
        Ok(Module { kernels, ptx_version: ptx_version.clone(), described, ptx })
    };
    modules.into_iter().zip(listed).map(module).collect()
}

/// What the library loads.
fn families() -> Result<Vec<Module>> {
    described("manifest.json", &Family::ALL.map(|family| (family.name(), family.kernels())))
}

/// All there are.
fn modules() -> Result<Vec<Module>> {
    let micro = described("micro_manifest.json", &[("micro", micro::launch::KERNELS)])?;
    Ok(families()?.into_iter().chain(micro).collect())
}

/// The head of an entry point: parameters and directives, up to its body.
fn head<'a>(ptx: &'a str, kernel: &Kernel) -> Result<&'a str> {
    let start = ptx.find(&format!(".visible .entry {}(", kernel.name)).context(kernel.name)?;
    let end = ptx[start..].find('{').context("an entry without a body")?;
    Ok(&ptx[start..start + end])
}

#[test]
fn the_manifest_has_the_kernels_of_the_launch_table() -> Result<()> {
    for module in modules()? {
        let kernels = &module.described.kernels;
        assert_eq!(kernels.len(), module.kernels.len());
        for (found, kernel) in kernels.iter().zip(module.kernels) {
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
    for Module { ptx, ptx_version, described, .. } in modules()? {
        let sha256: String =
            Sha256::digest(&ptx).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(described.ptx_sha256, sha256, "{}", described.name);
        assert!(ptx.contains(&format!("\n.version {ptx_version}\n")));
        assert!(ptx.contains("\n.target sm_90a"));
    }
    Ok(())
}

#[test]
fn every_entry_has_its_launch_bounds() -> Result<()> {
    for Module { ptx, kernels, .. } in modules()? {
        assert_eq!(ptx.matches(".visible .entry ").count(), kernels.len());
        for kernel in kernels {
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
    for Module { ptx, described, .. } in modules()? {
        for word in [".local", "__local_depot", ".extern .func", "\n\tcall"] {
            assert!(!ptx.contains(word), "{} contains `{word}`", described.name);
        }
    }
    Ok(())
}

#[test]
fn a_cta_fits_on_a_multiprocessor() -> Result<()> {
    for figures in modules()?.iter().flat_map(|module| &module.described.kernels) {
        let Figures { name, threads, ctas_per_sm, shared_bytes, registers, .. } = figures;
        assert!(registers * threads * ctas_per_sm <= REGISTERS, "{name}: {registers} registers");
        assert!(*shared_bytes <= SHARED_BYTES, "{name}: {shared_bytes} bytes of shared memory");
    }
    Ok(())
}

/// What loads through tensor maps multiplies on the tensor cores, and the loads are TMA's.
#[test]
fn matrix_kernels_use_tensor_cores_and_tma() -> Result<()> {
    for figures in families()?.iter().flat_map(|module| &module.described.kernels) {
        let Figures { name, tensor_maps, hgmma, utmaldg, .. } = figures;
        assert_eq!(*tensor_maps > 0, *hgmma > 0, "{name}: {hgmma} HGMMA");
        assert_eq!(*tensor_maps > 0, *utmaldg > 0, "{name}: {utmaldg} UTMALDG");
    }
    Ok(())
}
