//! The kernels of a GPU, loaded family by family when they are first needed.

use std::sync::{Mutex, OnceLock, PoisonError};

use cust::module::Module;
use oxmla_kernels::family::Family;

use super::choice::Choice;
use super::context::Current;
use super::device::CudaDevice;
use super::driver::{CAPTURE_RELAXED, Driver};
use super::module::{self, Function};
use crate::error::{Error, Result};

/// Defines `PTX`: what `cargo xtask ptx` made of each family, in the order of [`Family::ALL`].
macro_rules! embed {
    ($($family:ident $name:literal)*) => {
        const PTX: [(Family, &str); Family::ALL.len()] = [
            $((
                Family::$family,
                include_str!(concat!("../../../ptx/oxmla_", $name, "_sm90a.ptx")),
            ),)*
        ];
    };
}

embed! {
    DecodeBf16 "decode_bf16"
    DecodeF16 "decode_f16"
    DecodeLimitedBf16 "decode_limited_bf16"
    DecodeLimitedF16 "decode_limited_f16"
    Fp8DecodeBf16 "fp8_decode_bf16"
    Fp8DecodeF16 "fp8_decode_f16"
    Fp8DecodeLimitedBf16 "fp8_decode_limited_bf16"
    Fp8DecodeLimitedF16 "fp8_decode_limited_f16"
    SparseDecode "sparse_decode"
    Fp8SparseDecode "fp8_sparse_decode"
    SparsePrefill "sparse_prefill"
    Gemm "gemm"
    Rows "rows"
    Fp8Rows "fp8_rows"
}

const _: () = {
    let mut place = 0;
    while place < PTX.len() {
        assert!(PTX[place].0 as usize == place, "the order is another");
        place += 1;
    }
};

/// PTX of a family.
const fn ptx(family: Family) -> &'static str {
    PTX[family as usize].1
}

/// Version of the PTX language of the kernels, as their `.version` line says.
pub(super) fn ptx_version() -> &'static str {
    let version = ptx(Family::Rows).lines().find_map(|line| line.strip_prefix(".version "));
    version.map_or("unknown", str::trim)
}

/// What is loaded on one GPU.
#[derive(Debug, Default)]
pub(super) struct Modules([Slot; Family::ALL.len()]);

#[derive(Debug, Default)]
struct Slot {
    loaded: OnceLock<Loaded>,
    /// Held while the module is being loaded, so that it is loaded once. Threads that need others go on.
    loading: Mutex<()>,
}

#[derive(Debug)]
struct Loaded {
    /// In the order of [`Family::kernels`].
    functions: Vec<Function>,
    /// The functions live in it.
    _module: Module,
}

impl Modules {
    /// Whether a family is loaded.
    pub(super) fn has(&self, family: Family) -> bool {
        self.0[family as usize].loaded.get().is_some()
    }

    /// A kernel. Its family is loaded first, unless a look tells that it is.
    ///
    /// # Errors
    /// As for [`Modules::load`].
    pub(super) fn function(&self, device: &CudaDevice, choice: Choice) -> Result<Function> {
        let Choice { family, kernel } = choice;
        let named = |function: &&Function| function.geometry.name == kernel.name;
        let function = self.loaded(device, family)?.functions.iter().find(named);
        function.copied().ok_or_else(|| Error::ModuleLoad {
            module: family.name(),
            log: format!("it has no {}", kernel.name),
        })
    }

    /// Loads a family, if it is not.
    ///
    /// # Errors
    /// [`Error::ModuleLoad`] with the log of the driver's compiler, or [`Error::Driver`]. The next call tries again.
    pub(super) fn load(&self, device: &CudaDevice, family: Family) -> Result<()> {
        self.loaded(device, family).map(drop)
    }

    fn loaded(&self, device: &CudaDevice, family: Family) -> Result<&Loaded> {
        let Slot { loaded, loading } = &self.0[family as usize];
        if let Some(loaded) = loaded.get() {
            return Ok(loaded);
        }
        let _turn = loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = loaded.get() {
            return Ok(loaded);
        }
        let now = Loaded::new(&device.make_current()?, family)?;
        Ok(loaded.get_or_init(|| now))
    }
}

impl Loaded {
    fn new(current: &Current<'_>, family: Family) -> Result<Self> {
        let driver = current.driver();
        let _relaxed = Relaxed::enter(driver)?;
        let module = module::load(current, family.name(), ptx(family))?;
        let find = |kernel| Function::find(driver, &module, family.name(), kernel);
        let functions = family.kernels().iter().map(find).collect::<Result<_>>()?;
        Ok(Self { functions, _module: module })
    }
}

/// While it lives, this thread may load although a stream is being captured, here or elsewhere. Loading is none of what
/// the stream records, and drivers for CUDA 12.3 and later can do both.
struct Relaxed<'a> {
    driver: &'a Driver,
    before: i32,
}

impl<'a> Relaxed<'a> {
    fn enter(driver: &'a Driver) -> Result<Self> {
        let mut mode = CAPTURE_RELAXED;
        // SAFETY: the mode has a place, and gets the one before.
        unsafe { driver.cuThreadExchangeStreamCaptureMode(&mut mode)? };
        Ok(Self { driver, before: mode })
    }
}

impl Drop for Relaxed<'_> {
    fn drop(&mut self) {
        // SAFETY: as above.
        let _ = unsafe { self.driver.cuThreadExchangeStreamCaptureMode(&mut self.before) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_its_kernels_embedded() {
        for family in Family::ALL {
            let ptx = ptx(family);
            assert!(ptx.contains(&format!("\n.version {}\n", ptx_version())), "{}", family.name());
            assert_eq!(ptx.matches(".visible .entry ").count(), family.kernels().len());
            for kernel in family.kernels() {
                assert!(ptx.contains(&format!(".entry {}(", kernel.name)), "{}", kernel.name);
            }
        }
    }
}
