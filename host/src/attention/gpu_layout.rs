//! What the loads and stores of the kernels need of a tensor's layout.
//!
//! TMA takes addresses and strides that are multiples of 16 bytes, and contiguous rows; stores of the output
//! are 16 bytes wide. (The stride of an axis of size 1 is always fine: views close such gaps.)

use super::Decode;
use crate::check;
use crate::error::{Error, Result};

/// Bytes of which addresses and strides must be multiples.
const ALIGNMENT: usize = 16;
/// First stride, in bytes, that TMA cannot express.
const STRIDE_LIMIT: u64 = 1 << 40;

const QUERY_AXES: [&str; 4] = ["batch", "s_q", "h_q", "d_qk"];
const CACHE_AXES: [&str; 4] = ["blocks", "block_size", "h_k", "d_qk"];
const OUTPUT_AXES: [&str; 4] = ["batch", "s_q", "h_q", "d_v"];

/// Refuses layouts that the kernels cannot follow.
pub fn check(args: &Decode<'_>) -> Result<()> {
    let Decode { q, kv_cache, out, lse, .. } = args;
    vectors("q", QUERY_AXES, q.address(), q.strides(), q.dtype().size())?;
    vectors(
        "kv_cache",
        CACHE_AXES,
        kv_cache.address(),
        kv_cache.strides(),
        kv_cache.dtype().size(),
    )?;
    vectors("out", OUTPUT_AXES, out.address(), out.strides(), out.dtype().size())?;
    evenly_spaced_rows(q.shape(), q.strides())?;
    stride("lse", "s_q", lse.strides()[2], 1)
}

/// Rows of whole, aligned 16-byte vectors.
fn vectors(
    arg: &'static str,
    axes: [&'static str; 4],
    address: u64,
    strides: &[usize],
    element: usize,
) -> Result<()> {
    check::alignment(arg, address, ALIGNMENT)?;
    stride(arg, axes[3], strides[3], 1)?;
    for (&axis, &stride) in axes.iter().zip(&strides[..3]) {
        let bytes = stride as u64 * element as u64;
        if !bytes.is_multiple_of(ALIGNMENT as u64) {
            let (required, got) = (ALIGNMENT, bytes);
            return Err(Error::MisalignedStride { arg, axis, required, got });
        }
        if bytes >= STRIDE_LIMIT {
            let (min, max, got) = (0, i128::from(STRIDE_LIMIT) - 1, bytes.into());
            return Err(Error::OutOfRange { arg, min, max, got });
        }
    }
    Ok(())
}

/// Query rows of a request, heads of one token after those of another, are one axis of the tensor map.
fn evenly_spaced_rows(shape: &[usize], strides: &[usize]) -> Result<()> {
    let (s_q, h_q) = (shape[1], shape[2]);
    if s_q == 1 || h_q == 1 {
        return Ok(());
    }
    stride("q", "s_q", strides[1], h_q.saturating_mul(strides[2]))
}

fn stride(arg: &'static str, axis: &'static str, got: usize, expected: usize) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(Error::StrideMismatch { arg, axis, expected, got })
}
