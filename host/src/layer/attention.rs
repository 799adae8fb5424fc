//! The weights of a layer on a device.

use std::ops::Range;

use super::config::MlaConfig;
use super::elements::Elements;
use super::operations::{self, Operations};
use super::shard::HeadShard;
use super::weight::Weight;
use super::weights::{MlaWeights, QueryWeights, kept_as};
use crate::device::Device;
use crate::dims::MlaDims;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::TensorRef;

/// One attention layer, or one rank's heads of it, on a device.
#[derive(Debug)]
pub struct MlaAttention {
    pub(super) device: Device,
    pub(super) operations: Box<dyn Operations>,
    pub(super) config: MlaConfig,
    pub(super) dims: MlaDims,
    /// Type of queries, cache, and what attention writes.
    pub(super) dtype: DType,
    /// What hidden states are multiplied by, `[q_lora_rank + 576, hidden]`: `q_a_proj` above `kv_a_proj_with_mqa`, so
    /// that one product makes both. Without compressed queries `[heads · (nope + rope) + 576, hidden]`: `q_proj` is
    /// above.
    pub(super) hidden: Weight,
    /// Where queries are compressed.
    pub(super) compressed: Option<Compressed>,
    /// `[1, 512]` of type `dtype`.
    pub(super) kv_a_norm: Weight,
    /// W_UK, of each head transposed: `[heads · 512, nope]`.
    pub(super) w_uk: Weight,
    /// W_UV: `[heads · v, 512]`.
    pub(super) w_uv: Weight,
    /// `[hidden, heads · v]`.
    pub(super) o: Weight,
}

/// From compressed queries to queries.
#[derive(Debug)]
pub(super) struct Compressed {
    /// `[1, q_lora_rank]`.
    pub norm: Weight,
    /// `[heads · (nope + rope), q_lora_rank]`.
    pub up: Weight,
}

impl MlaAttention {
    /// The layer with these weights, of which it copies the heads of `shard` to `device`. W_UK and W_UV are split
    /// out of `kv_b_proj`. `dtype` is the type of queries and cache, bf16 or f16. On a GPU and in the simulator weights
    /// are rounded to it; on the CPU they keep their type, but for `kv_a_layernorm`, which gets that of the cache, and
    /// weights of hidden states of different types, which become f32.
    ///
    /// # Errors
    /// - [`Error::OutOfRange`](crate::Error::OutOfRange), [`Error::InvalidNumber`](crate::Error::InvalidNumber),
    ///   [`Error::UnsupportedHeads`](crate::Error::UnsupportedHeads),
    ///   [`Error::UnsupportedWidths`](crate::Error::UnsupportedWidths) if `config` makes no sense or is not
    ///   supported; on a GPU and in the simulator `hidden_size`, `q_lora_rank`, `qk_nope_head_dim` and `v_head_dim` must
    ///   be multiples of 8. [`Error::UnevenShards`](crate::Error::UnevenShards).
    /// - [`Error::UnsupportedDType`](crate::Error::UnsupportedDType) if `dtype` is neither bf16 nor f16.
    /// - [`Error::QueryWeightsMismatch`](crate::Error::QueryWeightsMismatch),
    ///   [`Error::RankMismatch`](crate::Error::RankMismatch),
    ///   [`Error::ShapeMismatch`](crate::Error::ShapeMismatch), [`Error::NotAFloat`](crate::Error::NotAFloat),
    ///   [`Error::StrideMismatch`](crate::Error::StrideMismatch),
    ///   [`Error::LocationMismatch`](crate::Error::LocationMismatch) if a weight is not what `config` says.
    /// - [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn new(
        device: &Device,
        config: &MlaConfig,
        weights: &MlaWeights<'_>,
        dtype: DType,
        shard: HeadShard,
    ) -> Result<Self> {
        Self::with_progress(device, config, weights, dtype, shard, &mut |_| {})
    }

    /// As [`MlaAttention::new`]; `progress` is told the bytes of each weight that is on the device.
    pub(crate) fn with_progress(
        device: &Device,
        config: &MlaConfig,
        weights: &MlaWeights<'_>,
        dtype: DType,
        shard: HeadShard,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self> {
        let operations = operations::of(device);
        if !dtype.is_attention_type() {
            return Err(Error::UnsupportedDType { arg: "dtype", got: dtype });
        }
        config.check()?;
        operations.check_config(config)?;
        weights.check(config)?;
        let heads = shard.heads(config.num_attention_heads)?;
        let dims = config.dims(heads.len())?;
        let MlaConfig { qk_nope_head_dim: nope, v_head_dim: v, .. } = *config;
        let mut upload = Upload { device, dtype: operations.weight_type(dtype), progress };
        let MlaWeights { q, kv_a_proj_with_mqa, kv_a_layernorm, kv_b_proj, o_proj } = weights;
        let outputs = heads.start * config.qk_head_dim()..heads.end * config.qk_head_dim();
        let (hidden, compressed) = match q {
            QueryWeights::Direct { q_proj } => {
                (upload.above(q_proj, outputs, kv_a_proj_with_mqa)?, None)
            }
            QueryWeights::Compressed { q_a_proj, q_a_layernorm, q_b_proj } => {
                let down = 0..q_a_proj.shape()[0];
                let hidden = upload.above(q_a_proj, down, kv_a_proj_with_mqa)?;
                let norm = upload.vector(q_a_layernorm)?;
                (hidden, Some(Compressed { norm, up: upload.rows(q_b_proj, outputs)? }))
            }
        };
        let of_each_head = |part: Range<usize>| {
            heads.clone().flat_map(move |head| part.clone().map(move |row| head * (nope + v) + row))
        };
        Ok(Self {
            hidden,
            compressed,
            kv_a_norm: upload.vector_as(kv_a_layernorm, dtype)?,
            w_uk: upload.transposed(kv_b_proj, of_each_head(0..nope), heads.len())?,
            w_uv: upload.rows(kv_b_proj, of_each_head(nope..nope + v))?,
            o: upload.part(o_proj, 0..config.hidden_size, heads.start * v..heads.end * v)?,
            device: device.clone(),
            operations,
            config: config.clone(),
            dims,
            dtype,
        })
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// What the layer was made from.
    #[must_use]
    pub const fn config(&self) -> &MlaConfig {
        &self.config
    }

    /// The heads that the layer has, those of its shard, and the widths: what its planner and its cache are to be
    /// made for.
    #[must_use]
    pub const fn dims(&self) -> MlaDims {
        self.dims
    }

    /// Type of queries and cache: what its planner and its cache are to be made for.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// Bytes of the weights on the device.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let compressed = self
            .compressed
            .as_ref()
            .map_or(0, |query| query.norm.len_bytes() + query.up.len_bytes());
        let others = [&self.hidden, &self.kv_a_norm, &self.w_uk, &self.w_uv, &self.o];
        compressed + others.into_iter().map(Weight::len_bytes).sum::<usize>()
    }
}

/// Brings weights to a device, and tells of each.
struct Upload<'a> {
    device: &'a Device,
    /// Type that they are rounded to, if not their own.
    dtype: Option<DType>,
    progress: &'a mut dyn FnMut(usize),
}

impl Upload<'_> {
    fn rows(
        &mut self,
        weight: &TensorRef<'_>,
        rows: impl Iterator<Item = usize> + Clone,
    ) -> Result<Weight> {
        self.part(weight, rows, 0..weight.shape()[1])
    }

    fn part(
        &mut self,
        weight: &TensorRef<'_>,
        rows: impl Iterator<Item = usize> + Clone,
        columns: Range<usize>,
    ) -> Result<Weight> {
        let dtype = kept_as(&[weight], self.dtype);
        self.upload(&Elements::gather(weight, rows, columns, dtype))
    }

    /// Rows of one weight, above all of another.
    fn above(
        &mut self,
        weight: &TensorRef<'_>,
        rows: Range<usize>,
        other: &TensorRef<'_>,
    ) -> Result<Weight> {
        let dtype = kept_as(&[weight, other], self.dtype);
        let columns = 0..weight.shape()[1];
        let below = Elements::gather(other, 0..other.shape()[0], columns.clone(), dtype);
        self.upload(&Elements::gather(weight, rows, columns, dtype).above(&below))
    }

    /// Rows of `heads` heads, those of each transposed.
    fn transposed(
        &mut self,
        weight: &TensorRef<'_>,
        rows: impl Iterator<Item = usize> + Clone,
        heads: usize,
    ) -> Result<Weight> {
        let dtype = kept_as(&[weight], self.dtype);
        let elements = Elements::gather(weight, rows, 0..weight.shape()[1], dtype);
        self.upload(&elements.transposed_by_head(heads))
    }

    fn vector(&mut self, weight: &TensorRef<'_>) -> Result<Weight> {
        self.vector_as(weight, kept_as(&[weight], self.dtype))
    }

    fn vector_as(&mut self, weight: &TensorRef<'_>, dtype: DType) -> Result<Weight> {
        self.upload(&Elements::gather(weight, 0..1, 0..weight.shape()[0], dtype))
    }

    fn upload(&mut self, elements: &Elements) -> Result<Weight> {
        let weight = Weight::upload(self.device, elements)?;
        (self.progress)(weight.len_bytes());
        Ok(weight)
    }
}
