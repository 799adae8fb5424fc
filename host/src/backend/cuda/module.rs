//! The kernels, loaded into a context.

use std::ffi::{CString, c_char, c_void};
use std::ptr::null_mut;

use cust::module::Module;
use oxmla_kernels::cache::fp8::Fp8Format;
use oxmla_kernels::decode::Variant;
use oxmla_kernels::gemm::tiling::{Tiling, WIDTHS};
use oxmla_kernels::launch::{
    APPEND_BF16, APPEND_F16, APPEND_FP8_584_BF16, APPEND_FP8_584_F16, APPEND_FP8_644_BF16,
    APPEND_FP8_644_F16, APPEND_FP8_656_BF16, APPEND_FP8_656_F16, COPY_BLOCKS, DENSE_DECODE_BF16,
    DENSE_DECODE_F16, DENSE_DECODE_LIMITED_BF16, DENSE_DECODE_LIMITED_F16, DENSE_FP8_DECODE_BF16,
    DENSE_FP8_DECODE_F16, DENSE_FP8_DECODE_LIMITED_BF16, DENSE_FP8_DECODE_LIMITED_F16,
    FP8_MATH_DECODE_BF16, FP8_MATH_DECODE_F16, FP8_MATH_DECODE_LIMITED_BF16,
    FP8_MATH_DECODE_LIMITED_F16, GATHER, GATHER_FP8_584_BF16, GATHER_FP8_584_F16,
    GATHER_FP8_644_BF16, GATHER_FP8_644_F16, GATHER_FP8_656_BF16, GATHER_FP8_656_F16, GEMM_BF16,
    GEMM_F16, Kernel, NORM_BF16, NORM_F16, PAIR_DECODE_BF16, PAIR_DECODE_F16,
    PAIR_DECODE_LIMITED_BF16, PAIR_DECODE_LIMITED_F16, SPARSE_DECODE_512_BF16,
    SPARSE_DECODE_576_BF16, SPARSE_FP8_584_DECODE_BF16, SPARSE_FP8_656_DECODE_BF16,
    SPARSE_PREFILL_512_BF16, SPARSE_PREFILL_576_BF16,
};

use super::driver::{
    Driver, Handle, JIT_ERROR_LOG, JIT_ERROR_LOG_BYTES, LaunchConfig, MAX_DYNAMIC_SHARED_SIZE_BYTES,
};
use super::sparse::SparseKernel;
use crate::cache::CacheFormat;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// What `cargo xtask ptx` made of the `oxmla-kernels` crate.
const PTX: &str = include_str!("../../../ptx/oxmla_sm90a.ptx");

/// Version of the PTX language of the kernels, as their `.version` line says.
pub(super) fn ptx_version() -> &'static str {
    let version = PTX.lines().find_map(|line| line.strip_prefix(".version "));
    version.map_or("unknown", str::trim)
}

/// An entry point, ready to launch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub handle: Handle,
    pub geometry: Kernel,
}

/// A loaded module and its entry points.
#[derive(Debug)]
pub(super) struct Kernels {
    dense: PerType,
    dense_fp8: PerType,
    fp8_math: PerType,
    pair: PerType,
    /// With windows and a soft cap.
    dense_limited: PerType,
    dense_fp8_limited: PerType,
    fp8_math_limited: PerType,
    pair_limited: PerType,
    /// Pairs of CTAs of the paired decode kernel that the GPU has room for at once.
    pairs: u32,
    sparse_decode: PerWidth,
    sparse_fp8_decode: PerWidth,
    sparse_prefill: PerWidth,
    append: PerType,
    append_fp8_656: PerType,
    append_fp8_584: PerType,
    append_fp8_644: PerType,
    gather: Function,
    gather_fp8_656: PerType,
    gather_fp8_584: PerType,
    gather_fp8_644: PerType,
    copy_blocks: Function,
    norm: PerType,
    /// In the order of [`WIDTHS`].
    gemm_bf16: [Function; WIDTHS.len()],
    gemm_f16: [Function; WIDTHS.len()],
    /// The functions above live in it.
    _module: Module,
}

/// A kernel for each type of the rows outside the cache.
#[derive(Clone, Copy, Debug)]
struct PerType {
    bf16: Function,
    f16: Function,
}

/// A kernel for each width of queries.
#[derive(Clone, Copy, Debug)]
struct PerWidth {
    of_576: Function,
    of_512: Function,
}

impl Kernels {
    /// Compiles and loads everything into the current context, so that no later call has to.
    ///
    /// # Errors
    /// [`Error::ModuleLoad`] with the log of the driver's compiler.
    pub(super) fn load(driver: &Driver) -> Result<Self> {
        let module = load(driver, PTX)?;
        let function = |geometry: &Kernel| Function::find(driver, &module, geometry);
        let functions = |kernels: &[Kernel; WIDTHS.len()]| -> Result<[Function; WIDTHS.len()]> {
            let [a, b, c, d, e] = kernels;
            Ok([function(a)?, function(b)?, function(c)?, function(d)?, function(e)?])
        };
        let per_type = |bf16, f16| Ok(PerType { bf16: function(bf16)?, f16: function(f16)? });
        let per_width =
            |a, b| Ok::<_, Error>(PerWidth { of_576: function(a)?, of_512: function(b)? });
        let pair = per_type(&PAIR_DECODE_BF16, &PAIR_DECODE_F16)?;
        Ok(Self {
            dense: per_type(&DENSE_DECODE_BF16, &DENSE_DECODE_F16)?,
            dense_fp8: per_type(&DENSE_FP8_DECODE_BF16, &DENSE_FP8_DECODE_F16)?,
            fp8_math: per_type(&FP8_MATH_DECODE_BF16, &FP8_MATH_DECODE_F16)?,
            pairs: pair.bf16.clusters_at_once(driver)?,
            pair,
            dense_limited: per_type(&DENSE_DECODE_LIMITED_BF16, &DENSE_DECODE_LIMITED_F16)?,
            dense_fp8_limited: per_type(
                &DENSE_FP8_DECODE_LIMITED_BF16,
                &DENSE_FP8_DECODE_LIMITED_F16,
            )?,
            fp8_math_limited: per_type(
                &FP8_MATH_DECODE_LIMITED_BF16,
                &FP8_MATH_DECODE_LIMITED_F16,
            )?,
            pair_limited: per_type(&PAIR_DECODE_LIMITED_BF16, &PAIR_DECODE_LIMITED_F16)?,
            sparse_decode: per_width(&SPARSE_DECODE_576_BF16, &SPARSE_DECODE_512_BF16)?,
            sparse_fp8_decode: per_width(&SPARSE_FP8_656_DECODE_BF16, &SPARSE_FP8_584_DECODE_BF16)?,
            sparse_prefill: per_width(&SPARSE_PREFILL_576_BF16, &SPARSE_PREFILL_512_BF16)?,
            append: per_type(&APPEND_BF16, &APPEND_F16)?,
            append_fp8_656: per_type(&APPEND_FP8_656_BF16, &APPEND_FP8_656_F16)?,
            append_fp8_584: per_type(&APPEND_FP8_584_BF16, &APPEND_FP8_584_F16)?,
            append_fp8_644: per_type(&APPEND_FP8_644_BF16, &APPEND_FP8_644_F16)?,
            gather: function(&GATHER)?,
            gather_fp8_656: per_type(&GATHER_FP8_656_BF16, &GATHER_FP8_656_F16)?,
            gather_fp8_584: per_type(&GATHER_FP8_584_BF16, &GATHER_FP8_584_F16)?,
            gather_fp8_644: per_type(&GATHER_FP8_644_BF16, &GATHER_FP8_644_F16)?,
            copy_blocks: function(&COPY_BLOCKS)?,
            norm: per_type(&NORM_BF16, &NORM_F16)?,
            gemm_bf16: functions(&GEMM_BF16)?,
            gemm_f16: functions(&GEMM_F16)?,
            _module: module,
        })
    }

    /// The kernel that attends over a cache of elements of type `dtype`; `limited` if there is a window or a soft cap.
    pub(super) const fn decode(
        &self,
        variant: Variant,
        limited: bool,
        dtype: DType,
    ) -> Result<Function> {
        let kernels = match (variant, limited) {
            (Variant::Dense, false) => &self.dense,
            (Variant::Pair, false) => &self.pair,
            (Variant::Dense, true) => &self.dense_limited,
            (Variant::Pair, true) => &self.pair_limited,
        };
        kernels.of("kv_cache", dtype)
    }

    /// The kernel that attends over a cache of [`Fp8Format::Token656`], for queries of type `dtype`; `limited` if there
    /// is a window or a soft cap.
    pub(super) const fn decode_fp8(&self, limited: bool, dtype: DType) -> Result<Function> {
        let kernels = if limited { &self.dense_fp8_limited } else { &self.dense_fp8 };
        kernels.of("q", dtype)
    }

    /// The kernel that attends over a cache of [`Fp8Format::Planar644`], likewise.
    pub(super) const fn decode_fp8_math(&self, limited: bool, dtype: DType) -> Result<Function> {
        let kernels = if limited { &self.fp8_math_limited } else { &self.fp8_math };
        kernels.of("q", dtype)
    }

    /// The kernel of sparse attention for queries of `d_qk` dimensions, 576 or 512, which an FP8 cache of 656 or 584 bytes a
    /// token is for.
    pub(super) const fn sparse(&self, kernel: SparseKernel, d_qk: usize) -> Function {
        let kernels = match kernel {
            SparseKernel::Decode => &self.sparse_decode,
            SparseKernel::DecodeFp8 => &self.sparse_fp8_decode,
            SparseKernel::Prefill => &self.sparse_prefill,
        };
        if d_qk == 512 { kernels.of_512 } else { kernels.of_576 }
    }

    /// Pairs of CTAs of the paired decode kernel that the GPU has room for at once.
    pub(super) const fn pairs(&self) -> u32 {
        self.pairs
    }

    /// The kernel that multiplies matrices of elements of type `dtype` as `tiling` says.
    pub(super) fn gemm(&self, dtype: DType, tiling: &Tiling) -> Result<Function> {
        match dtype {
            DType::Bf16 => Ok(self.gemm_bf16[tiling.kernel()]),
            DType::F16 => Ok(self.gemm_f16[tiling.kernel()]),
            got => Err(Error::UnsupportedDType { arg: "x", got }),
        }
    }

    /// The kernel that normalises rows of elements of type `dtype`.
    pub(super) const fn norm(&self, dtype: DType) -> Result<Function> {
        self.norm.of("x", dtype)
    }

    /// The kernel that appends rows of type `rows` to a cache.
    pub(super) const fn append(&self, format: CacheFormat, rows: DType) -> Result<Function> {
        let kernels = match format {
            CacheFormat::Elements(_) => &self.append,
            CacheFormat::Fp8(Fp8Format::Token656) => &self.append_fp8_656,
            CacheFormat::Fp8(Fp8Format::Paged584) => &self.append_fp8_584,
            CacheFormat::Fp8(Fp8Format::Planar644) => &self.append_fp8_644,
        };
        kernels.of("latent", rows)
    }

    /// The kernel that gathers cached tokens as rows of type `rows`.
    pub(super) const fn gather(&self, format: CacheFormat, rows: DType) -> Result<Function> {
        match format {
            CacheFormat::Elements(_) => Ok(self.gather),
            CacheFormat::Fp8(Fp8Format::Token656) => self.gather_fp8_656.of("out", rows),
            CacheFormat::Fp8(Fp8Format::Paged584) => self.gather_fp8_584.of("out", rows),
            CacheFormat::Fp8(Fp8Format::Planar644) => self.gather_fp8_644.of("out", rows),
        }
    }

    /// The kernel that copies blocks.
    pub(super) const fn copy_blocks(&self) -> Function {
        self.copy_blocks
    }
}

impl PerType {
    const fn of(&self, arg: &'static str, dtype: DType) -> Result<Function> {
        match dtype {
            DType::Bf16 => Ok(self.bf16),
            DType::F16 => Ok(self.f16),
            got => Err(Error::UnsupportedDType { arg, got }),
        }
    }
}

impl Function {
    pub(super) fn find(driver: &Driver, module: &Module, geometry: &Kernel) -> Result<Self> {
        let function = module.get_function(geometry.name).map_err(|error| {
            let reason = driver.cust_error("cuModuleGetFunction", error);
            Error::ModuleLoad { log: format!("{}: {reason}", geometry.name) }
        })?;
        let handle: Handle = function.to_raw().cast();
        // More than 48 KB must be asked for. Asking also makes a driver that loads functions lazily load this
        // one now: at its first launch it might have to allocate, which a stream capture forbids.
        let shared_bytes = geometry.shared_bytes as i32;
        // SAFETY: the module has just returned the function.
        unsafe {
            driver.cuFuncSetAttribute(handle, MAX_DYNAMIC_SHARED_SIZE_BYTES, shared_bytes)?;
        }
        Ok(Self { handle, geometry: *geometry })
    }

    /// Clusters of the kernel that the GPU has room for at once.
    fn clusters_at_once(&self, driver: &Driver) -> Result<u32> {
        let Self { handle, geometry } = *self;
        let config = LaunchConfig {
            grid: [geometry.cluster, 1, 1],
            block: [geometry.threads, 1, 1],
            shared_bytes: geometry.shared_bytes,
            stream: null_mut(),
            attributes: null_mut(),
            attribute_count: 0,
        };
        let mut clusters = 0;
        // SAFETY: the function is that of a loaded module.
        unsafe { driver.cuOccupancyMaxActiveClusters(&mut clusters, handle, &config)? };
        Ok(u32::try_from(clusters).unwrap_or(0))
    }
}

/// Compiles and loads PTX into the current context.
///
/// # Errors
/// [`Error::ModuleLoad`] with the log of the driver's compiler.
pub(super) fn load(driver: &Driver, ptx: &str) -> Result<Module> {
    Module::from_ptx(ptx, &[]).map_err(|error| {
        let reason = driver.cust_error("cuModuleLoadDataEx", error);
        Error::ModuleLoad { log: format!("{reason}\n{}", compiler_log(driver, ptx)) }
    })
}

/// Loads once more, for the log that cust does not ask for.
fn compiler_log(driver: &Driver, ptx: &str) -> String {
    const LOG_BYTES: usize = 16 << 10;
    let Ok(image) = CString::new(ptx) else { return "the PTX contains a NUL".to_owned() };
    let mut log = vec![0u8; LOG_BYTES];
    let mut names = [JIT_ERROR_LOG, JIT_ERROR_LOG_BYTES];
    // The size travels as a value in the place of a pointer.
    let mut values = [log.as_mut_ptr().cast::<c_void>(), LOG_BYTES as *mut c_void];
    let mut module = null_mut();
    // SAFETY: `image` ends with NUL; the two options have their values; the log has the size it claims.
    let loaded = unsafe {
        driver.cuModuleLoadDataEx(
            &mut module,
            image.as_ptr().cast::<c_char>().cast(),
            names.len() as u32,
            names.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    if loaded.is_ok() {
        // SAFETY: loaded above, and nobody else has it.
        let _ = unsafe { driver.cuModuleUnload(module) };
        return "a second attempt succeeded".to_owned();
    }
    log.truncate(log.iter().position(|&byte| byte == 0).unwrap_or(LOG_BYTES));
    String::from_utf8_lossy(&log).trim().to_owned()
}
