//! Checks of the tensors that cached rows go to and come from, which every device makes.

use super::layout::{CacheFormat, check_block_size};
use crate::check;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::{Location, TensorRef};

/// Requests of a batch that the kernels' search can tell apart.
const MAX_BATCH: i32 = 1 << 30;

/// Location, type and alignment.
pub fn tensor(
    arg: &'static str,
    tensor: &TensorRef<'_>,
    location: Location,
    dtype: DType,
) -> Result<()> {
    check::location(arg, tensor.location(), location)?;
    check::dtype(arg, tensor.dtype(), dtype)?;
    check::alignment(arg, tensor.address(), dtype.size())
}

/// A 16-bit type.
pub const fn attention_type(arg: &'static str, got: DType) -> Result<()> {
    if got.is_attention_type() { Ok(()) } else { Err(Error::UnsupportedDType { arg, got }) }
}

/// A cache `[blocks, block size, h_k, 576]` of any number of KV heads, or one of an FP8 format, which has one.
pub fn cache_of_heads(kv_cache: &TensorRef<'_>, location: Location) -> Result<CacheFormat> {
    const ARG: &str = "kv_cache";
    let format = CacheFormat::of(kv_cache)?;
    tensor(ARG, kv_cache, location, format.dtype())?;
    check::rank(ARG, kv_cache.shape(), 4)?;
    check::range("blocks", kv_cache.shape()[0] as i128, 0, i32::MAX)?;
    check_block_size(kv_cache.shape()[1])?;
    check::axis(ARG, "d_qk", kv_cache.shape()[3], format.width())?;
    if let CacheFormat::Fp8(_) = format {
        // Where the parts of a token are is the format's to say: only blocks may have gaps between them.
        check::axis(ARG, "h_k", kv_cache.shape()[2], 1)?;
        check::stride(ARG, "bytes of a token", kv_cache.strides()[3], 1)?;
        check::stride(ARG, "block_size", kv_cache.strides()[1], format.width())?;
    }
    Ok(format)
}

/// A cache `[blocks, block size, 1, 576]`, or one of an FP8 format.
pub fn cache(kv_cache: &TensorRef<'_>, location: Location) -> Result<CacheFormat> {
    let format = cache_of_heads(kv_cache, location)?;
    check::axis("kv_cache", "h_k", kv_cache.shape()[2], 1)?;
    Ok(format)
}

/// A block table `[batch, max_blocks] i32`; returns the batch.
pub fn table(block_table: &TensorRef<'_>, location: Location) -> Result<usize> {
    tensor("block_table", block_table, location, DType::I32)?;
    check::rank("block_table", block_table.shape(), 2)?;
    let [batch, columns] = [0, 1].map(|axis| block_table.shape()[axis]);
    check::range("batch", batch as i128, 0, MAX_BATCH)?;
    check::range("max_blocks", columns as i128, 0, i32::MAX)?;
    Ok(batch)
}

/// Offsets `[batch + 1] i32`.
pub fn offsets(
    arg: &'static str,
    offsets: &TensorRef<'_>,
    location: Location,
    batch: usize,
) -> Result<()> {
    tensor(arg, offsets, location, DType::I32)?;
    check::shape(arg, offsets.shape(), [("batch + 1", batch + 1)])
}
