//! `oxmla devices`: what is there, and what is used.

use std::io::Write;
use std::thread;

use oxmla::{Candidate, Device};

use crate::{Verdict, table};

/// Prints the devices. A GPU that cannot be used is no error here, but something to tell.
pub fn run(out: &mut dyn Write) -> anyhow::Result<Verdict> {
    let candidates = Device::all();
    let default = candidates.iter().position(|candidate| candidate.device.is_ok());
    let mut table = table::of_text(&["device", "name", "properties", "state"]);
    for (index, Candidate { label, device, .. }) in candidates.iter().enumerate() {
        let state = match device {
            _ if default == Some(index) => "used by default",
            Ok(_) => "usable",
            Err(_) => "not usable",
        };
        let name = device.as_ref().map_or("-", Device::name);
        let properties = device.as_ref().map_or_else(|_| "-".to_owned(), properties);
        table.add_row([label, name, &properties, state]);
    }
    writeln!(out, "{}", table.trim_fmt())?;
    for Candidate { label, device, .. } in &candidates {
        if let Err(error) = device {
            writeln!(out, "{label}: {error}")?;
        }
    }
    writeln!(out, "oxmla {}; {}", env!("CARGO_PKG_VERSION"), kernels()?)?;
    Ok(Verdict::Passed)
}

/// What distinguishes the device, as far as attention is concerned.
fn properties(device: &Device) -> String {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => {
            let info = device.info();
            let (major, minor) = info.compute_capability;
            let (driver_major, driver_minor) = info.driver_version;
            format!(
                "compute capability {major}.{minor}, {} SMs, {} at {:.0} GB/s, \
                 driver for CUDA {driver_major}.{driver_minor}",
                info.multiprocessors,
                table::bytes(info.memory_bytes),
                info.memory_bytes_per_second() * 1e-9,
            )
        }
        _ => {
            let threads = thread::available_parallelism().map_or(1, usize::from);
            format!("{threads} threads")
        }
    }
}

/// What `cargo xtask ptx` noted about the kernels in this program.
#[cfg(feature = "cuda")]
fn kernels() -> anyhow::Result<String> {
    #[derive(serde::Deserialize)]
    struct Manifest {
        ptx_version: String,
        ptxas: String,
        rustc: String,
        modules: Vec<Module>,
    }
    #[derive(serde::Deserialize)]
    struct Module {
        kernels: Vec<serde_json::Value>,
    }
    let manifest: Manifest = serde_json::from_str(include_str!("../../../ptx/manifest.json"))?;
    let Manifest { ptx_version, ptxas, rustc, modules } = manifest;
    let count: usize = modules.iter().map(|module| module.kernels.len()).sum();
    Ok(format!(
        "{count} kernels in {} modules of PTX {ptx_version} for sm_90a ({rustc}, checked with ptxas {ptxas})",
        modules.len()
    ))
}

#[cfg(not(feature = "cuda"))]
fn kernels() -> anyhow::Result<String> {
    Ok("built without the `cuda` feature".to_owned())
}
