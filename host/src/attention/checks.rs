//! Checks of the tensors that every device makes.

use super::Decode;
use crate::cache::{CacheFormat, Fp8Format, checks as cached};
use crate::check;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::plan::{DecodePlan, Planner};
use crate::stream::StreamRef;
use crate::tensor::TensorRef;

/// Refuses tensors that are not those of the plan, on its device.
pub fn check(
    planner: &Planner,
    plan: &DecodePlan,
    stream: StreamRef<'_>,
    args: &Decode<'_>,
) -> Result<()> {
    let Decode { q, kv_cache, out, lse, softmax_scale, softcap } = args;
    let config = planner.config();
    let device = planner.device().location();
    check::location("stream", stream.location(), device)?;
    check::location("q", q.location(), device)?;
    check::location("kv_cache", kv_cache.location(), device)?;
    check::location("out", out.location(), device)?;
    check::location("lse", lse.location(), device)?;

    check::dtype("q", q.dtype(), config.dtype)?;
    let format = cache_format(planner, kv_cache)?;
    check::dtype("out", out.dtype(), config.dtype)?;
    check::dtype("lse", lse.dtype(), DType::F32)?;

    let batch = ("batch", plan.batch());
    let s_q = ("s_q", plan.s_q() as usize);
    let h_q = ("h_q", config.dims.h_q() as usize);
    let h_k = ("h_k", config.dims.h_k() as usize);
    let d_qk = ("d_qk", config.dims.d_qk() as usize);
    let d_v = ("d_v", config.dims.d_v() as usize);
    let blocks = ("blocks", config.blocks_in_cache);
    let block_size = ("block_size", config.block_size);
    check::shape("q", q.shape(), [batch, s_q, h_q, d_qk])?;
    let width = ("d_qk", format.width());
    check::shape("kv_cache", kv_cache.shape(), [blocks, block_size, h_k, width])?;
    check::shape("out", out.shape(), [batch, s_q, h_q, d_v])?;
    check::shape("lse", lse.shape(), [batch, h_q, s_q])?;

    check::alignment("q", q.address(), q.dtype().size())?;
    check::alignment("kv_cache", kv_cache.address(), kv_cache.dtype().size())?;
    check::alignment("out", out.address(), out.dtype().size())?;
    check::alignment("lse", lse.address(), lse.dtype().size())?;

    if !softmax_scale.is_finite() || *softmax_scale <= 0.0 {
        return Err(Error::InvalidScale { got: *softmax_scale });
    }
    check_softcap(*softcap, *softmax_scale)
}

/// Refuses caps that are none, and those with which the kernels' one factor for score and cap is out of range.
fn check_softcap(softcap: Option<f32>, softmax_scale: f32) -> Result<()> {
    match softcap {
        Some(cap) if !(cap.is_finite() && cap > 0.0 && (softmax_scale / cap).is_normal()) => {
            Err(Error::InvalidSoftcap { got: cap })
        }
        _ => Ok(()),
    }
}

/// The format of the cache: elements of the planner's type, or an FP8 format that there is a kernel for.
fn cache_format(planner: &Planner, kv_cache: &TensorRef<'_>) -> Result<CacheFormat> {
    let dtype = planner.config().dtype;
    if kv_cache.dtype() != DType::U8 {
        check::dtype("kv_cache", kv_cache.dtype(), dtype)?;
        return Ok(CacheFormat::Elements(dtype));
    }
    let format = cached::cache(kv_cache, planner.device().location())?;
    if format == CacheFormat::Fp8(Fp8Format::Paged584) {
        let operation = "dense decode over an FP8 cache of 584 bytes a token";
        return Err(Error::NoKernel { operation, device: planner.device().name().to_owned() });
    }
    Ok(format)
}
