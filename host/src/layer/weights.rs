//! The weights of a layer as they come from a checkpoint or from a runtime.

use super::config::MlaConfig;
#[cfg(feature = "checkpoint")]
use super::operations;
use crate::check;
#[cfg(feature = "checkpoint")]
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::{Location, TensorRef};

/// The weights of one layer on the host, those of all heads, under the names that checkpoints have for them.
/// Matrices are `[outputs, inputs]`, norms vectors; elements are bf16, f16 or f32, contiguous along the inputs.
#[derive(Clone, Copy, Debug)]
pub struct MlaWeights<'a> {
    /// From hidden states to queries.
    pub q: QueryWeights<'a>,
    /// `[512 + 64, hidden]`: latent, then the shared rotary key.
    pub kv_a_proj_with_mqa: TensorRef<'a>,
    /// `[512]`.
    pub kv_a_layernorm: TensorRef<'a>,
    /// `[heads · (nope + v), 512]`: of each head W_UK, then W_UV.
    pub kv_b_proj: TensorRef<'a>,
    /// `[hidden, heads · v]`.
    pub o_proj: TensorRef<'a>,
}

/// The two ways from hidden states to queries. Of each head the part that is not rotated comes first.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "a few views, of which a layer has one")]
pub enum QueryWeights<'a> {
    /// At once, where `q_lora_rank` is null.
    Direct {
        /// `[heads · (nope + rope), hidden]`.
        q_proj: TensorRef<'a>,
    },
    /// Compressed, normalised, expanded.
    Compressed {
        /// `[q_lora_rank, hidden]`.
        q_a_proj: TensorRef<'a>,
        /// `[q_lora_rank]`.
        q_a_layernorm: TensorRef<'a>,
        /// `[heads · (nope + rope), q_lora_rank]`.
        q_b_proj: TensorRef<'a>,
    },
}

impl MlaWeights<'_> {
    /// Bytes of a layer of type `dtype` on a device: of the heads that one of `world` ranks has, and of what every rank
    /// has.
    #[cfg(feature = "checkpoint")]
    pub(crate) fn bytes_of_rank(&self, device: &Device, dtype: DType, world: usize) -> usize {
        let fixed = operations::of(device).weight_type(dtype);
        let bytes = |weight: &TensorRef<'_>, beside: &[&TensorRef<'_>]| {
            weight.shape().iter().product::<usize>() * kept_as(beside, fixed).size()
        };
        let alone = |weight| bytes(weight, &[weight]);
        let kv_a = &self.kv_a_proj_with_mqa;
        let (of_heads, of_all) = match &self.q {
            QueryWeights::Direct { q_proj } => {
                (bytes(q_proj, &[q_proj, kv_a]), bytes(kv_a, &[q_proj, kv_a]))
            }
            QueryWeights::Compressed { q_a_proj, q_a_layernorm, q_b_proj } => {
                let hidden = bytes(q_a_proj, &[q_a_proj, kv_a]) + bytes(kv_a, &[q_a_proj, kv_a]);
                (alone(q_b_proj), hidden + alone(q_a_layernorm))
            }
        };
        (of_heads + alone(&self.kv_b_proj) + alone(&self.o_proj)) / world
            + of_all
            + self.kv_a_layernorm.shape()[0] * dtype.size()
    }

    /// Refuses weights that are not those of a layer of `config`.
    pub(super) fn check(&self, config: &MlaConfig) -> Result<()> {
        let MlaConfig { hidden_size: hidden, num_attention_heads: heads, .. } = *config;
        let latent = config.kv_lora_rank;
        let queries = heads * config.qk_head_dim();
        let keys_and_values = heads * (config.qk_nope_head_dim + config.v_head_dim);
        match (&self.q, config.q_lora_rank) {
            (QueryWeights::Direct { q_proj }, None) => {
                matrix("q_proj", q_proj, queries, hidden)?;
            }
            (QueryWeights::Compressed { q_a_proj, q_a_layernorm, q_b_proj }, Some(rank)) => {
                matrix("q_a_proj", q_a_proj, rank, hidden)?;
                vector("q_a_layernorm", q_a_layernorm, rank)?;
                matrix("q_b_proj", q_b_proj, queries, rank)?;
            }
            (QueryWeights::Direct { .. }, Some(_)) => return Err(mismatch(COMPRESSED, DIRECT)),
            (QueryWeights::Compressed { .. }, None) => return Err(mismatch(DIRECT, COMPRESSED)),
        }
        let rows = latent + config.qk_rope_head_dim;
        matrix("kv_a_proj_with_mqa", &self.kv_a_proj_with_mqa, rows, hidden)?;
        vector("kv_a_layernorm", &self.kv_a_layernorm, latent)?;
        matrix("kv_b_proj", &self.kv_b_proj, keys_and_values, latent)?;
        matrix("o_proj", &self.o_proj, hidden, heads * config.v_head_dim)
    }
}

/// Type that weights are kept in which become one matrix: the one that the device wants, else their own, or f32 if they
/// differ, which holds all of them.
pub(super) fn kept_as(weights: &[&TensorRef<'_>], fixed: Option<DType>) -> DType {
    let own = weights[0].dtype();
    let same = weights.iter().all(|weight| weight.dtype() == own);
    fixed.unwrap_or(if same { own } else { DType::F32 })
}

const DIRECT: &str = "`q_proj`";
const COMPRESSED: &str = "`q_a_proj`, `q_a_layernorm` and `q_b_proj`";

const fn mismatch(expected: &'static str, got: &'static str) -> Error {
    Error::QueryWeightsMismatch { expected, got }
}

fn matrix(arg: &'static str, weight: &TensorRef<'_>, rows: usize, columns: usize) -> Result<()> {
    check::shape(arg, weight.shape(), [("outputs", rows), ("inputs", columns)])?;
    elements(arg, weight, weight.strides()[1])
}

fn vector(arg: &'static str, weight: &TensorRef<'_>, len: usize) -> Result<()> {
    check::shape(arg, weight.shape(), [("inputs", len)])?;
    elements(arg, weight, weight.strides()[0])
}

fn elements(arg: &'static str, weight: &TensorRef<'_>, stride: usize) -> Result<()> {
    check::location(arg, weight.location(), Location::Host)?;
    check::float(arg, weight.dtype())?;
    check::stride(arg, "inputs", stride, 1)
}
