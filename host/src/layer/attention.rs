//! The weights of a layer on a device.

use std::ops::Range;

use super::config::MlaConfig;
use super::operations::{self, Operations};
use super::shard::HeadShard;
use super::weight::Weight;
use super::weights::{MlaWeights, QueryWeights};
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
    pub(super) query: Query,
    /// `[576, hidden]`.
    pub(super) kv_a: Weight,
    /// `[1, 512]` of type `dtype`.
    pub(super) kv_a_norm: Weight,
    /// W_UK: `[heads · nope, 512]`.
    pub(super) w_uk: Weight,
    /// W_UV: `[heads · v, 512]`.
    pub(super) w_uv: Weight,
    /// `[hidden, heads · v]`.
    pub(super) o: Weight,
}

/// From hidden states to queries.
#[derive(Debug)]
pub(super) enum Query {
    /// `[heads · (nope + rope), hidden]`.
    Direct(Weight),
    /// Compressed, normalised, expanded.
    Compressed {
        /// `[q_lora_rank, hidden]`.
        down: Weight,
        /// `[1, q_lora_rank]`.
        norm: Weight,
        /// `[heads · (nope + rope), q_lora_rank]`.
        up: Weight,
    },
}

impl MlaAttention {
    /// The layer with these weights, of which it copies the heads of `shard` to `device`. W_UK and W_UV are split
    /// out of `kv_b_proj`. `dtype` is the type of queries and cache, bf16 or f16; weights keep their type, but for
    /// `kv_a_layernorm`, which gets that of the cache.
    ///
    /// # Errors
    /// - [`Error::NoKernel`](crate::Error::NoKernel) on a GPU.
    /// - [`Error::OutOfRange`](crate::Error::OutOfRange), [`Error::InvalidNumber`](crate::Error::InvalidNumber),
    ///   [`Error::UnsupportedHeads`](crate::Error::UnsupportedHeads),
    ///   [`Error::UnsupportedWidths`](crate::Error::UnsupportedWidths) if `config` makes no sense or is not
    ///   supported, [`Error::UnevenShards`](crate::Error::UnevenShards).
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
        let operations = operations::of(device)?;
        if !dtype.is_attention_type() {
            return Err(Error::UnsupportedDType { arg: "dtype", got: dtype });
        }
        config.check()?;
        weights.check(config)?;
        let heads = shard.heads(config.num_attention_heads)?;
        let dims = config.dims(heads.len())?;
        let MlaConfig { qk_nope_head_dim: nope, v_head_dim: v, .. } = *config;
        let mut upload = Upload { device, progress };
        let MlaWeights { q, kv_a_proj_with_mqa, kv_a_layernorm, kv_b_proj, o_proj } = weights;
        let outputs = heads.start * config.qk_head_dim()..heads.end * config.qk_head_dim();
        let query = match q {
            QueryWeights::Direct { q_proj } => Query::Direct(upload.rows(q_proj, outputs)?),
            QueryWeights::Compressed { q_a_proj, q_a_layernorm, q_b_proj } => Query::Compressed {
                down: upload.whole(q_a_proj)?,
                norm: upload.whole(q_a_layernorm)?,
                up: upload.rows(q_b_proj, outputs)?,
            },
        };
        let of_each_head = |part: Range<usize>| {
            heads.clone().flat_map(move |head| part.clone().map(move |row| head * (nope + v) + row))
        };
        let latent = 0..config.kv_lora_rank;
        Ok(Self {
            query,
            kv_a: upload.whole(kv_a_proj_with_mqa)?,
            kv_a_norm: upload.vector_as(kv_a_layernorm, dtype)?,
            w_uk: upload.part(kv_b_proj, of_each_head(0..nope), latent.clone())?,
            w_uv: upload.part(kv_b_proj, of_each_head(nope..nope + v), latent)?,
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
        let query = match &self.query {
            Query::Direct(weight) => weight.len_bytes(),
            Query::Compressed { down, norm, up } => {
                down.len_bytes() + norm.len_bytes() + up.len_bytes()
            }
        };
        let others = [&self.kv_a, &self.kv_a_norm, &self.w_uk, &self.w_uv, &self.o];
        query + others.into_iter().map(Weight::len_bytes).sum::<usize>()
    }
}

/// Brings weights to a device, and tells of each.
struct Upload<'a> {
    device: &'a Device,
    progress: &'a mut dyn FnMut(usize),
}

impl Upload<'_> {
    fn whole(&mut self, weight: &TensorRef<'_>) -> Result<Weight> {
        let rows = if weight.shape().len() == 1 { 1 } else { weight.shape()[0] };
        self.rows(weight, 0..rows)
    }

    fn rows(&mut self, weight: &TensorRef<'_>, rows: Range<usize>) -> Result<Weight> {
        let columns = weight.shape()[weight.shape().len() - 1];
        self.part(weight, rows, 0..columns)
    }

    fn vector_as(&mut self, weight: &TensorRef<'_>, dtype: DType) -> Result<Weight> {
        Weight::upload_vector_as(self.device, weight, dtype).inspect(|weight| self.tell(weight))
    }

    fn tell(&mut self, weight: &Weight) {
        (self.progress)(weight.len_bytes());
    }

    fn part(
        &mut self,
        weight: &TensorRef<'_>,
        rows: impl Iterator<Item = usize> + Clone,
        columns: Range<usize>,
    ) -> Result<Weight> {
        Weight::upload(self.device, weight, rows, columns).inspect(|weight| self.tell(weight))
    }
}
