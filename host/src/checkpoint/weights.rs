//! The weights of a layer by the names that checkpoints have for them.

use super::Result;
use super::index::Index;
use super::tensor::Tensor;
use crate::layer::{MlaConfig, MlaWeights, QueryWeights};

/// The tensors of one layer's attention.
#[derive(Debug)]
pub struct LayerTensors<'a> {
    query: Query<'a>,
    kv_a_proj_with_mqa: Tensor<'a>,
    kv_a_layernorm: Tensor<'a>,
    kv_b_proj: Tensor<'a>,
    o_proj: Tensor<'a>,
}

#[derive(Debug)]
enum Query<'a> {
    Direct { q_proj: Tensor<'a> },
    Compressed { q_a_proj: Tensor<'a>, q_a_layernorm: Tensor<'a>, q_b_proj: Tensor<'a> },
}

impl<'a> LayerTensors<'a> {
    /// Finds the tensors of layer number `layer`.
    pub fn read(index: &'a Index, config: &MlaConfig, layer: usize) -> Result<Self> {
        let read = |name: &str, shape: &[usize]| {
            let name = format!("model.layers.{layer}.self_attn.{name}.weight");
            Tensor::read(index, &name, shape)
        };
        let MlaConfig { hidden_size: hidden, num_attention_heads: heads, .. } = *config;
        let MlaConfig { kv_lora_rank: latent, qk_rope_head_dim: rope, .. } = *config;
        let MlaConfig { qk_nope_head_dim: nope, v_head_dim: v, .. } = *config;
        let queries = heads * (nope + rope);
        Ok(Self {
            query: match config.q_lora_rank {
                None => Query::Direct { q_proj: read("q_proj", &[queries, hidden])? },
                Some(rank) => Query::Compressed {
                    q_a_proj: read("q_a_proj", &[rank, hidden])?,
                    q_a_layernorm: read("q_a_layernorm", &[rank])?,
                    q_b_proj: read("q_b_proj", &[queries, rank])?,
                },
            },
            kv_a_proj_with_mqa: read("kv_a_proj_with_mqa", &[latent + rope, hidden])?,
            kv_a_layernorm: read("kv_a_layernorm", &[latent])?,
            kv_b_proj: read("kv_b_proj", &[heads * (nope + v), latent])?,
            o_proj: read("o_proj", &[hidden, heads * v])?,
        })
    }

    /// The tensors as a layer takes them.
    pub fn weights(&self) -> crate::Result<MlaWeights<'_>> {
        Ok(MlaWeights {
            q: match &self.query {
                Query::Direct { q_proj } => QueryWeights::Direct { q_proj: q_proj.view()? },
                Query::Compressed { q_a_proj, q_a_layernorm, q_b_proj } => {
                    QueryWeights::Compressed {
                        q_a_proj: q_a_proj.view()?,
                        q_a_layernorm: q_a_layernorm.view()?,
                        q_b_proj: q_b_proj.view()?,
                    }
                }
            },
            kv_a_proj_with_mqa: self.kv_a_proj_with_mqa.view()?,
            kv_a_layernorm: self.kv_a_layernorm.view()?,
            kv_b_proj: self.kv_b_proj.view()?,
            o_proj: self.o_proj.view()?,
        })
    }
}
