//! The PTX modules: which entry points are compiled together, and the files they become.

use anyhow::{Context, Result};
use oxmla_kernels::family::Family;
use oxmla_kernels::launch::Kernel;
use oxmla_kernels::micro;

/// Entry points of the kernel crate that one run of rustc compiles, and the modules that they are divided among.
pub struct Source {
    /// The file that says how the modules came to be.
    pub manifest_file: &'static str,
    /// Feature of the kernel crate that selects the entry points.
    pub feature: Option<&'static str>,
    modules: fn() -> Vec<Module>,
}

/// Entry points in one file.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// What it is called.
    pub name: &'static str,
    /// Its part of the launch table.
    pub kernels: &'static [Kernel],
}

/// What the library loads, and what `oxmla bench micro` loads beside it.
pub static SOURCES: [Source; 2] = [
    Source { manifest_file: "manifest.json", feature: None, modules: families },
    Source { manifest_file: "micro_manifest.json", feature: Some("micro"), modules: micro },
];

fn families() -> Vec<Module> {
    let module = |family: Family| Module { name: family.name(), kernels: family.kernels() };
    Family::ALL.map(module).to_vec()
}

fn micro() -> Vec<Module> {
    vec![Module { name: "micro", kernels: micro::launch::KERNELS }]
}

impl Source {
    /// The modules.
    pub fn modules(&self) -> Vec<Module> {
        (self.modules)()
    }
}

impl Module {
    /// The module that has the entry point `kernel`, and what it is compiled from.
    pub fn of(kernel: &str) -> Result<(&'static Source, Self)> {
        let mut modules = SOURCES
            .iter()
            .flat_map(|source| source.modules().into_iter().map(move |module| (source, module)));
        let has = |module: &Self| module.kernels.iter().any(|listed| listed.name == kernel);
        modules.clone().find(|(_, module)| has(module)).with_context(|| {
            let names = modules.by_ref().flat_map(|(_, module)| module.kernels).map(|k| k.name);
            format!("no kernel `{kernel}`; there are {}", names.collect::<Vec<_>>().join(", "))
        })
    }

    /// Name of the PTX file.
    pub fn ptx_file(&self) -> String {
        format!("oxmla_{}_sm90a.ptx", self.name)
    }

    /// Name of the assembled file.
    pub fn cubin_file(&self) -> String {
        format!("oxmla_{}_sm90a.cubin", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_found_in_their_module() {
        let file = |kernel| Module::of(kernel).map(|(_, module)| module.ptx_file());
        assert_eq!(file("pair_decode_bf16").unwrap(), "oxmla_decode_bf16_sm90a.ptx");
        assert_eq!(file("stream_read").unwrap(), "oxmla_micro_sm90a.ptx");
        let error = file("stream_write").err().unwrap().to_string();
        assert!(error.contains("stream_write") && error.contains("append_bf16"), "{error}");
    }
}
