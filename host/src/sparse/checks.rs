//! Checks of the tensors that every device makes.

use super::{Selection, SparseAttention};
use crate::cache::{CacheFormat, Fp8Format};
use crate::check;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::stream::StreamRef;
use crate::tensor::{Location, TensorMut, TensorRef};

/// Dimensions of a query with a rotary part beside the value's 512, and of one without.
const WIDTHS: [usize; 2] = [576, 512];
/// Dimensions of an output row.
const D_V: usize = 512;
/// Most tokens, heads, and indices of a token: a schedule counts blocks in 31 bits.
const MOST: i128 = 1 << 29;

/// Names of a selection's tensors in errors.
struct Names {
    kv_cache: &'static str,
    indices: &'static str,
    lengths: &'static str,
    topk: &'static str,
}

const MAIN: Names =
    Names { kv_cache: "kv_cache", indices: "indices", lengths: "lengths", topk: "topk" };
const EXTRA: Names = Names {
    kv_cache: "extra kv_cache",
    indices: "extra indices",
    lengths: "extra lengths",
    topk: "extra topk",
};

/// Sizes of checked arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Problem {
    /// Query tokens.
    pub tokens: usize,
    /// Heads.
    pub h_q: usize,
    /// Dimensions of a query: 576 or 512.
    pub d_qk: usize,
    /// Indices of a query token.
    pub topk: usize,
    /// Indices of a query token into the second cache.
    pub extra_topk: usize,
    /// What a token is in the caches.
    pub format: CacheFormat,
}

/// Refuses tensors that do not fit together, or are not on the device.
pub(super) fn check(
    device: &Device,
    stream: StreamRef<'_>,
    args: &SparseAttention<'_>,
    max_logits: Option<&TensorMut<'_>>,
) -> Result<Problem> {
    let SparseAttention { q, selection, extra, sink, out, lse, softmax_scale } = args;
    let here = device.location();
    check::location("stream", stream.location(), here)?;
    tensor("q", q, here, DType::Bf16)?;
    check::rank("q", q.shape(), 3)?;
    let [tokens, h_q, d_qk] = [0, 1, 2].map(|axis| q.shape()[axis]);
    if !WIDTHS.contains(&d_qk) {
        return Err(Error::UnsupportedQueryWidth { got: d_qk });
    }
    check::range("tokens", tokens as i128, 0, MOST)?;
    check::range("h_q", h_q as i128, 1, MOST)?;

    let format = check_selection(here, &MAIN, selection, tokens, d_qk)?;
    let mut formats = [format; 2];
    if let Some(extra) = extra {
        formats[1] = check_selection(here, &EXTRA, extra, tokens, d_qk)?;
        check::dtype(EXTRA.kv_cache, formats[1].dtype(), format.dtype())?;
    }
    if formats.contains(&CacheFormat::Fp8(Fp8Format::Planar644)) {
        let operation = "sparse attention over an FP8 cache of 644 bytes a token";
        return Err(Error::NoKernel { operation, device: device.name().to_owned() });
    }
    let topk = |selection: &Selection<'_>| selection.indices.shape()[1];
    let (topk, extra_topk) = (topk(selection), extra.as_ref().map_or(0, topk));

    if let Some(sink) = sink {
        tensor("sink", sink, here, DType::F32)?;
        check::shape("sink", sink.shape(), [("h_q", h_q)])?;
    }
    tensor("out", &out.as_ref(), here, DType::Bf16)?;
    check::shape("out", out.shape(), [("tokens", tokens), ("h_q", h_q), ("d_v", D_V)])?;
    tensor("lse", &lse.as_ref(), here, DType::F32)?;
    check::shape("lse", lse.shape(), [("tokens", tokens), ("h_q", h_q)])?;
    if let Some(max_logits) = max_logits {
        tensor("max_logits", &max_logits.as_ref(), here, DType::F32)?;
        check::shape("max_logits", max_logits.shape(), [("tokens", tokens), ("h_q", h_q)])?;
    }
    if !softmax_scale.is_finite() || *softmax_scale <= 0.0 {
        return Err(Error::InvalidScale { got: *softmax_scale });
    }
    Ok(Problem { tokens, h_q, d_qk, topk, extra_topk, format })
}

/// A cache, indices into it, and how many of them count.
fn check_selection(
    here: Location,
    names: &Names,
    selection: &Selection<'_>,
    tokens: usize,
    d_qk: usize,
) -> Result<CacheFormat> {
    let Selection { kv_cache, indices, lengths } = selection;
    let format = check_cache(here, names.kv_cache, kv_cache, d_qk)?;
    tensor(names.indices, indices, here, DType::I32)?;
    check::rank(names.indices, indices.shape(), 2)?;
    check::axis(names.indices, "tokens", indices.shape()[0], tokens)?;
    check::range(names.topk, indices.shape()[1] as i128, 0, MOST)?;
    if let Some(lengths) = lengths {
        tensor(names.lengths, lengths, here, DType::I32)?;
        check::shape(names.lengths, lengths.shape(), [("tokens", tokens)])?;
    }
    Ok(format)
}

/// The format of a cache that queries of `d_qk` dimensions fit.
fn check_cache(
    here: Location,
    arg: &'static str,
    kv_cache: &TensorRef<'_>,
    d_qk: usize,
) -> Result<CacheFormat> {
    check::location(arg, kv_cache.location(), here)?;
    check::rank(arg, kv_cache.shape(), 4)?;
    check::range("blocks", kv_cache.shape()[0] as i128, 0, i32::MAX)?;
    check::range("block_size", kv_cache.shape()[1] as i128, 0, i32::MAX)?;
    check::axis(arg, "h_k", kv_cache.shape()[2], 1)?;
    let width = kv_cache.shape()[3];
    if kv_cache.dtype() == DType::U8 {
        let format = Fp8Format::of_width(width).ok_or(Error::UnknownFormat { arg, got: width })?;
        let format = CacheFormat::Fp8(format);
        check::axis("q", "d_qk", d_qk, format.d_qk())?;
        // Where the parts of a token are is the format's to say: only blocks may have gaps between them.
        check::stride(arg, "bytes of a token", kv_cache.strides()[3], 1)?;
        check::stride(arg, "block_size", kv_cache.strides()[1], width)?;
        return Ok(format);
    }
    tensor(arg, kv_cache, here, DType::Bf16)?;
    check::axis(arg, "d_qk", width, d_qk)?;
    Ok(CacheFormat::Elements(DType::Bf16))
}

/// Location, type and alignment.
fn tensor(arg: &'static str, tensor: &TensorRef<'_>, here: Location, dtype: DType) -> Result<()> {
    check::location(arg, tensor.location(), here)?;
    check::dtype(arg, tensor.dtype(), dtype)?;
    check::alignment(arg, tensor.address(), dtype.size())
}
