//! Memory between the operations of a layer.

use super::attention::{MlaAttention, Query};
use crate::buffer::Buffer;
use crate::check;
use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::byte_size;

/// What a layer keeps between its operations, for steps of up to `max_tokens` tokens. Layers that run one after the
/// other, as those of a model do, share one.
#[derive(Debug)]
pub struct LayerScratch {
    pub(super) dtype: DType,
    pub(super) max_tokens: usize,
    pub(super) widths: Widths,
    /// `[tokens, q_lora_rank]`.
    pub(super) q_compressed: Buffer,
    /// `[tokens, heads, nope + rope]`.
    pub(super) q: Buffer,
    /// `[tokens, 576]`, for the cache.
    pub(super) kv: Buffer,
    /// `[tokens, heads, 576]`, for attention.
    pub(super) absorbed: Buffer,
    /// `[tokens, heads, 512]`, from attention.
    pub(super) o: Buffer,
    /// `[batch, heads, s_q] f32`, from attention.
    pub(super) lse: Buffer,
    /// `[tokens, heads · v]`.
    pub(super) values: Buffer,
}

/// Elements per token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Widths {
    pub q_compressed: usize,
    pub q: usize,
    pub kv: usize,
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
            q_compressed: match &layer.query {
                Query::Direct(_) => 0,
                Query::Compressed { down, .. } => down.rows(),
            },
            q: heads * config.qk_head_dim(),
            kv: dims.d_qk() as usize,
            absorbed: heads * dims.d_qk() as usize,
            o: heads * dims.d_v() as usize,
            heads,
            values: heads * config.v_head_dim,
        }
    }
}

impl LayerScratch {
    /// Scratch for layers of the sizes, the type and the device of `layer`, for steps of up to `max_tokens` tokens,
    /// all requests together.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) without tokens,
    /// [`Error::SizeOverflow`](crate::Error::SizeOverflow), [`Error::OutOfMemory`](crate::Error::OutOfMemory), or
    /// [`Error::Driver`](crate::Error::Driver).
    pub fn new(layer: &MlaAttention, max_tokens: usize) -> Result<Self> {
        check::range("max_tokens", max_tokens as i128, 1, i32::MAX)?;
        let (device, dtype) = (&layer.device, layer.dtype);
        let activation = layer.operations.activation();
        let widths = Widths::of(layer);
        let alloc = |width, dtype| device.alloc(byte_size("scratch", dtype, &[max_tokens, width])?);
        Ok(Self {
            dtype,
            max_tokens,
            widths,
            q_compressed: alloc(widths.q_compressed, activation)?,
            q: alloc(widths.q, activation)?,
            kv: alloc(widths.kv, dtype)?,
            absorbed: alloc(widths.absorbed, dtype)?,
            o: alloc(widths.o, dtype)?,
            lse: alloc(widths.heads, DType::F32)?,
            values: alloc(widths.values, activation)?,
        })
    }

    /// Refuses a layer of other sizes than those of the layer that the scratch was made for.
    pub(super) fn check_widths(&self, layer: &Widths) -> Result<()> {
        let Widths { q_compressed, q, kv, absorbed, o, heads, values } = self.widths;
        check::axis("scratch", "heads", heads, layer.heads)?;
        check::axis("scratch", "q_lora_rank", q_compressed, layer.q_compressed)?;
        check::axis("scratch", "q", q, layer.q)?;
        check::axis("scratch", "kv", kv, layer.kv)?;
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
        let Self { q_compressed, q, kv, absorbed, o, lse, values, .. } = self;
        [q_compressed, q, kv, absorbed, o, lse, values].map(Buffer::len_bytes).iter().sum()
    }
}
