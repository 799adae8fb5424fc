//! Memory between the operations of a layer.

use oxmla_kernels::family::Family;

use super::attention::MlaAttention;
use super::projected::Projected;
use crate::buffer::Buffer;
use crate::check;
use crate::dtype::DType;
use crate::error::Result;
use crate::gemm::Workspace;
use crate::tensor::byte_size;

/// What a layer keeps between its operations, for steps of up to `max_tokens` tokens. Layers that run one after the
/// other on one stream, as those of a model do, share one.
#[derive(Debug)]
pub struct LayerScratch {
    pub(super) dtype: DType,
    pub(super) max_tokens: usize,
    pub(super) widths: Widths,
    pub(super) workspace: Workspace,
    pub(super) buffers: Buffers,
}

/// Results of operations.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Of hidden states.
    pub projected: Projected,
    /// `[tokens, q_lora_rank]`, normalised; empty where queries are not compressed.
    pub compressed: Buffer,
    /// `[tokens, heads, nope + rope]`; empty where queries are not compressed.
    pub q: Buffer,
    /// `[tokens, heads, 576]`, for attention.
    pub absorbed: Buffer,
    /// `[tokens, heads, 512]`, from attention.
    pub o: Buffer,
    /// `[batch, heads, s_q] f32`, from attention.
    pub lse: Buffer,
    /// `[tokens, heads · v]`.
    pub values: Buffer,
}

/// Elements per token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Widths {
    /// 0 where queries are not compressed.
    pub compressed: usize,
    pub q: usize,
    pub cached: usize,
    pub absorbed: usize,
    pub o: usize,
    pub heads: usize,
    pub values: usize,
}

impl Widths {
    pub fn of(layer: &MlaAttention) -> Self {
        let (config, dims) = (&layer.config, &layer.dims);
        let heads = dims.h_q() as usize;
        Self {
            compressed: config.q_lora_rank.unwrap_or(0),
            q: heads * config.qk_head_dim(),
            cached: dims.d_qk() as usize,
            absorbed: heads * dims.d_qk() as usize,
            o: heads * dims.d_v() as usize,
            heads,
            values: heads * config.v_head_dim,
        }
    }

    /// Those of what hidden states are projected to, for the query and for the cache.
    pub const fn projected(&self) -> [usize; 2] {
        [if self.compressed > 0 { self.compressed } else { self.q }, self.cached]
    }
}

impl LayerScratch {
    /// Scratch for layers of the sizes, the type and the device of `layer`, for steps of up to `max_tokens` tokens,
    /// all requests together.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) without tokens,
    /// [`Error::SizeOverflow`](crate::Error::SizeOverflow), [`Error::OutOfMemory`](crate::Error::OutOfMemory),
    /// [`Error::Driver`](crate::Error::Driver), or [`Error::ModuleLoad`](crate::Error::ModuleLoad): the first one loads
    /// the kernels, see [`Device::load`](crate::Device::load).
    pub fn new(layer: &MlaAttention, max_tokens: usize) -> Result<Self> {
        check::range("max_tokens", max_tokens as i128, 1, i32::MAX)?;
        let widths = Widths::of(layer);
        layer.device.load(Family::Rows)?;
        let workspace = Workspace::new(&layer.device)?;
        let buffers = Buffers::new(layer, &widths, max_tokens)?;
        Ok(Self { dtype: layer.dtype, max_tokens, widths, workspace, buffers })
    }

    /// Refuses a layer of other sizes than those of the layer that the scratch was made for.
    pub(super) fn check_widths(&self, layer: &Widths) -> Result<()> {
        let Widths { compressed, q, cached, absorbed, o, heads, values } = self.widths;
        check::axis("scratch", "heads", heads, layer.heads)?;
        check::axis("scratch", "q_lora_rank", compressed, layer.compressed)?;
        check::axis("scratch", "q", q, layer.q)?;
        check::axis("scratch", "kv", cached, layer.cached)?;
        check::axis("scratch", "absorbed", absorbed, layer.absorbed)?;
        check::axis("scratch", "o", o, layer.o)?;
        check::axis("scratch", "values", values, layer.values)
    }

    /// Most tokens of a step.
    #[must_use]
    pub const fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Bytes on the device.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        let Buffers { projected, compressed, q, absorbed, o, lse, values } = &self.buffers;
        let buffers = [compressed, q, absorbed, o, lse, values].map(Buffer::len_bytes);
        buffers.iter().sum::<usize>() + projected.len_bytes() + self.workspace.len_bytes()
    }
}

impl Buffers {
    fn new(layer: &MlaAttention, widths: &Widths, max_tokens: usize) -> Result<Self> {
        let (device, dtype) = (&layer.device, layer.dtype);
        let activation = layer.operations.activation(dtype);
        let alloc = |width, dtype| device.alloc(byte_size("scratch", dtype, &[max_tokens, width])?);
        let q = if widths.compressed > 0 { widths.q } else { 0 };
        let projected = widths.projected();
        Ok(Self {
            projected: Projected::new(device, max_tokens, projected, [activation, dtype])?,
            compressed: alloc(widths.compressed, activation)?,
            q: alloc(q, activation)?,
            absorbed: alloc(widths.absorbed, dtype)?,
            o: alloc(widths.o, dtype)?,
            lse: alloc(widths.heads, DType::F32)?,
            values: alloc(widths.values, activation)?,
        })
    }
}
