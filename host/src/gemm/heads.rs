//! Into latent space and out of it, head by head.

use oxmla_kernels::decode::dense::config::{D_LATENT, D_QK, D_ROPE};

use super::{Product, Turning, Workspace};
use crate::check;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::rope::ROPE_PAIRS;
use crate::stream::StreamRef;
use crate::tensor::{Location, TensorMut, TensorRef};

/// Queries on their way to attention. All tensors are on one device; `q`, `w_uk` and `absorbed` of one type, bf16 or
/// f16.
#[derive(Debug)]
pub struct Absorb<'a> {
    /// `[tokens, heads, nope + 64]`: of each head the part that is not rotated (128 for DeepSeek-V3), then the rope part.
    pub q: TensorRef<'a>,
    /// `[heads, 512, nope]`: of each head W_UK *transposed*, so that what is summed over is contiguous. A checkpoint's
    /// `kv_b_proj` has `[nope, 512]` at the head's place; it is transposed once, when it is loaded.
    pub w_uk: TensorRef<'a>,
    /// Cosines and sines by which rope parts are turned: `[positions, 32, 2] f32`, as
    /// [`Rope::table`](crate::Rope::table) gives them.
    pub rotations: TensorRef<'a>,
    /// Tokens of each request, these included: `[requests] i32`. Each has `tokens / requests` of the queries, side by
    /// side, the last of them at position `length − 1`. A token before the first position, or behind the last of
    /// `rotations`, has zeros for a rope part.
    pub lengths: TensorRef<'a>,
    /// `[tokens, heads, 576]`: latent part, then rope part; what [`decode`](crate::decode) takes as `q`.
    pub absorbed: TensorMut<'a>,
}

/// Attention's output on its way back. All tensors are on one device and of one type, bf16 or f16.
#[derive(Debug)]
pub struct Expand<'a> {
    /// `[tokens, heads, 512]`: what [`decode`](crate::decode) wrote.
    pub o: TensorRef<'a>,
    /// `[heads, v, 512]`: of each head W_UV as a checkpoint's `kv_b_proj` has it.
    pub w_uv: TensorRef<'a>,
    /// `[tokens, heads, v]`: what `o_proj` takes.
    pub values: TensorMut<'a>,
}

/// `q_nope · W_UK` for every head, and the rope part turned beside it. Layouts and errors are those of
/// [`gemm`](super::gemm()), `nope` being a multiple of 8 on a GPU; heads and tokens may have any strides.
///
/// # Errors
/// As for [`gemm`](super::gemm()); [`ShapeMismatch`](Error::ShapeMismatch) also if the requests do not divide the
/// tokens. On the CPU and the simulator, where lengths can be read, [`NegativeLength`](Error::NegativeLength), and
/// [`OutOfRange`](Error::OutOfRange) for lengths beyond the rotations.
pub fn absorb(
    device: &Device,
    stream: StreamRef<'_>,
    workspace: &Workspace,
    args: Absorb<'_>,
) -> Result<()> {
    let Absorb { q, w_uk, rotations, lengths, absorbed } = args;
    let (location, dtype) = (device.location(), attention_type("q", &q)?);
    tensor("q", &q, location, dtype, 3)?;
    tensor("w_uk", &w_uk, location, dtype, 3)?;
    tensor("absorbed", &absorbed.as_ref(), location, dtype, 3)?;
    tensor("rotations", &rotations, location, DType::F32, 3)?;
    tensor("lengths", &lengths, location, DType::I32, 1)?;
    let [tokens, heads] = [q.shape()[0], q.shape()[1]];
    let nope = w_uk.shape()[2];
    let latent = ("latent", D_LATENT as usize);
    check::shape("w_uk", w_uk.shape(), [("heads", heads), latent, ("nope", nope)])?;
    check::axis("q", "nope + rope", q.shape()[2], nope + D_ROPE as usize)?;
    let columns = ("d_qk", D_QK as usize);
    check::shape("absorbed", absorbed.shape(), [("tokens", tokens), ("heads", heads), columns])?;
    let positions = ("positions", rotations.shape()[0]);
    let pair = [positions, ("pairs", ROPE_PAIRS), ("cosine and sine", 2)];
    check::shape("rotations", rotations.shape(), pair)?;
    check::range("positions", positions.1 as i128, 0, i32::MAX)?;
    let requests = lengths.shape()[0];
    let rest = tokens.checked_rem(requests).unwrap_or(tokens);
    check::axis("q", "tokens", tokens, tokens - rest)?;
    let tokens_per_request = tokens.checked_div(requests).unwrap_or(0).max(1);
    let turning = Turning { rotations, lengths, tokens_per_request };
    Product::new(by_head(q)?, w_uk, by_head_mut(absorbed)?, Some(turning))?
        .run(device, stream, workspace)
}

/// `o · W_UVᵀ` for every head. Layouts and errors are those of [`gemm`](super::gemm()); heads and tokens may have any
/// strides.
///
/// # Errors
/// As for [`gemm`](super::gemm()).
pub fn expand(
    device: &Device,
    stream: StreamRef<'_>,
    workspace: &Workspace,
    args: Expand<'_>,
) -> Result<()> {
    let Expand { o, w_uv, values } = args;
    let (location, dtype) = (device.location(), attention_type("o", &o)?);
    tensor("o", &o, location, dtype, 3)?;
    tensor("w_uv", &w_uv, location, dtype, 3)?;
    tensor("values", &values.as_ref(), location, dtype, 3)?;
    let [tokens, heads] = [o.shape()[0], o.shape()[1]];
    let v = ("v", w_uv.shape()[1]);
    check::axis("o", "latent", o.shape()[2], D_LATENT as usize)?;
    check::shape("w_uv", w_uv.shape(), [("heads", heads), v, ("latent", D_LATENT as usize)])?;
    check::shape("values", values.shape(), [("tokens", tokens), ("heads", heads), v])?;
    Product::new(by_head(o)?, w_uv, by_head_mut(values)?, None)?.run(device, stream, workspace)
}

fn attention_type(arg: &'static str, tensor: &TensorRef<'_>) -> Result<DType> {
    let got = tensor.dtype();
    if got.is_attention_type() { Ok(got) } else { Err(Error::UnsupportedDType { arg, got }) }
}

fn tensor(
    arg: &'static str,
    tensor: &TensorRef<'_>,
    location: Location,
    dtype: DType,
    rank: usize,
) -> Result<()> {
    check::location(arg, tensor.location(), location)?;
    check::dtype(arg, tensor.dtype(), dtype)?;
    check::alignment(arg, tensor.address(), dtype.size())?;
    check::rank(arg, tensor.shape(), rank)
}

/// `[tokens, heads, columns]` as `[heads, tokens, columns]`.
fn by_head<'a>(tensor: TensorRef<'a>) -> Result<TensorRef<'a>> {
    let [shape, strides] =
        [tensor.shape(), tensor.strides()].map(|axes| [axes[1], axes[0], axes[2]]);
    // SAFETY: the elements of the tensor, for as long.
    unsafe {
        TensorRef::from_raw(tensor.address(), tensor.dtype(), &shape, &strides, tensor.location())
    }
}

/// As [`by_head`], to write.
fn by_head_mut(tensor: TensorMut<'_>) -> Result<TensorMut<'_>> {
    let [shape, strides] =
        [tensor.shape(), tensor.strides()].map(|axes| [axes[1], axes[0], axes[2]]);
    // SAFETY: the elements of the tensor, for as long; the view given away is not used any more.
    unsafe {
        TensorMut::from_raw(tensor.address(), tensor.dtype(), &shape, &strides, tensor.location())
    }
}
