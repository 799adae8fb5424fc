//! What is loaded when something is made, so that no launch has to.

use oxmla_kernels::decode::Variant;
use oxmla_kernels::family::Family;

use super::choice;
use super::device::CudaDevice;
use crate::cache::CacheFormat;
use crate::dtype::DType;
use crate::error::Result;

/// Loads what a planner's steps launch, for queries of type `dtype`; `limited` if they have windows.
///
/// # Errors
/// [`ModuleLoad`](crate::Error::ModuleLoad), or [`Driver`](crate::Error::Driver).
pub(crate) fn prepare_decode(device: &CudaDevice, limited: bool, dtype: DType) -> Result<()> {
    prepare_attention(device, choice::decode(Variant::Dense, limited, dtype)?.family)
}

/// Loads what sparse decode launches.
///
/// # Errors
/// As for [`prepare_decode`].
pub(crate) fn prepare_sparse(device: &CudaDevice) -> Result<()> {
    prepare_attention(device, Family::SparseDecode)
}

/// Which caches a planner's steps will be over it does not know. There is an FP8 one if its rows can be written.
fn prepare_attention(device: &CudaDevice, family: Family) -> Result<()> {
    device.load(family)?;
    match family.over_fp8() {
        Some(over_fp8) if device.has_loaded(Family::Fp8Rows) => device.load(over_fp8),
        _ => Ok(()),
    }
}

/// Loads what moves the rows of a cache; for an FP8 one also what attends over it, for whoever attends over others.
///
/// # Errors
/// As for [`prepare_decode`].
pub(crate) fn prepare_cache(device: &CudaDevice, format: CacheFormat) -> Result<()> {
    device.load(Family::Rows)?;
    if let CacheFormat::Fp8(_) = format {
        let loaded = Family::ALL.into_iter().filter(|&family| device.has_loaded(family));
        loaded.filter_map(Family::over_fp8).try_for_each(|family| device.load(family))?;
    }
    Ok(())
}

/// Pairs of CTAs of the paired decode kernel for `dtype` that the GPU has room for at once.
///
/// # Errors
/// As for [`prepare_decode`].
pub(crate) fn pairs(device: &CudaDevice, dtype: DType) -> Result<u32> {
    let function = device.function(choice::decode(Variant::Pair, false, dtype)?)?;
    function.clusters_at_once(device.make_current()?.driver())
}
