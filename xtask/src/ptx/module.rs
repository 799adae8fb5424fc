//! The PTX modules: which entry points the kernel crate has, by feature, and the files they become.

use anyhow::{Context, Result};
use oxmla_kernels::launch::{self, Kernel};
use oxmla_kernels::micro;

/// Entry points that are compiled together.
pub struct Module {
    /// Stem of the PTX and the cubin.
    name: &'static str,
    /// The file that says how the PTX came to be.
    pub manifest_file: &'static str,
    /// Feature of the kernel crate that selects the entry points.
    pub feature: Option<&'static str>,
    /// Launch table.
    pub kernels: &'static [Kernel],
}

/// What the library loads, and what `oxmla bench micro` loads beside it.
pub static MODULES: [Module; 2] = [
    Module {
        name: "oxmla",
        manifest_file: "manifest.json",
        feature: None,
        kernels: launch::KERNELS,
    },
    Module {
        name: "oxmla_micro",
        manifest_file: "micro_manifest.json",
        feature: Some("micro"),
        kernels: micro::launch::KERNELS,
    },
];

impl Module {
    /// The module that has the entry point `kernel`.
    pub fn of(kernel: &str) -> Result<&'static Self> {
        let has = |module: &&Self| module.kernels.iter().any(|listed| listed.name == kernel);
        MODULES.iter().find(has).with_context(|| {
            let kernels = MODULES.iter().flat_map(|module| module.kernels);
            let names: Vec<_> = kernels.map(|kernel| kernel.name).collect();
            format!("no kernel `{kernel}`; there are {}", names.join(", "))
        })
    }

    /// Name of the PTX file.
    pub fn ptx_file(&self) -> String {
        format!("{}_sm90a.ptx", self.name)
    }

    /// Name of the assembled file.
    pub fn cubin_file(&self) -> String {
        format!("{}_sm90a.cubin", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_found_in_their_module() {
        assert_eq!(Module::of("dense_decode_bf16").unwrap().ptx_file(), "oxmla_sm90a.ptx");
        assert_eq!(Module::of("stream_read").unwrap().ptx_file(), "oxmla_micro_sm90a.ptx");
        let error = Module::of("stream_write").err().unwrap().to_string();
        assert!(error.contains("stream_write") && error.contains("append_bf16"), "{error}");
    }
}
