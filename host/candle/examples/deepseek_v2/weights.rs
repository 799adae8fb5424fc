//! Random weights for every tensor of a DeepSeek-V2 model without experts.

use std::collections::HashMap;

use anyhow::Result;
use candle_core::{Device, Tensor};
use serde::Deserialize;

/// The sizes of a model.
#[derive(Clone, Debug, Deserialize)]
pub struct Sizes {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    num_attention_heads: usize,
    q_lora_rank: Option<usize>,
    kv_lora_rank: usize,
    qk_nope_head_dim: usize,
    qk_rope_head_dim: usize,
    v_head_dim: usize,
    pub rms_norm_eps: f64,
}

/// By what query weights are larger than others, so that a softmax prefers some tokens to others.
const QUERY_GAIN: f32 = 2.0;

/// All weights under the names that checkpoints have for them.
pub fn random(sizes: &Sizes) -> Result<HashMap<String, Tensor>> {
    let mut numbers = Numbers(7);
    sizes
        .names_and_shapes()
        .into_iter()
        .map(|(name, shape)| {
            let len = shape.iter().product();
            let values = if shape.len() == 1 {
                numbers.take(len, |x| 1.0 + 0.5 * x)
            } else {
                let gain = if name.contains("q_proj") || name.contains("q_b_proj") {
                    QUERY_GAIN
                } else {
                    1.0
                };
                // Of numbers between −1 and 1 the mean square is a third.
                let scale = gain * (3.0 / shape[1] as f32).sqrt();
                numbers.take(len, |x| scale * x)
            };
            Ok((name, Tensor::from_vec(values, shape, &Device::Cpu)?))
        })
        .collect()
}

impl Sizes {
    fn names_and_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (vocab, hidden) = (self.vocab_size, self.hidden_size);
        let mut all = vec![
            ("model.embed_tokens.weight".to_owned(), vec![vocab, hidden]),
            ("model.norm.weight".to_owned(), vec![hidden]),
            ("lm_head.weight".to_owned(), vec![vocab, hidden]),
        ];
        for layer in 0..self.num_hidden_layers {
            let named = |(name, shape)| (format!("model.layers.{layer}.{name}.weight"), shape);
            all.extend(self.layer().into_iter().map(named));
        }
        all
    }

    fn layer(&self) -> Vec<(&'static str, Vec<usize>)> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let (heads, latent) = (self.num_attention_heads, self.kv_lora_rank);
        let queries = heads * (self.qk_nope_head_dim + self.qk_rope_head_dim);
        let keys_and_values = heads * (self.qk_nope_head_dim + self.v_head_dim);
        let mut layer = vec![
            ("input_layernorm", vec![hidden]),
            ("self_attn.kv_a_proj_with_mqa", vec![latent + self.qk_rope_head_dim, hidden]),
            ("self_attn.kv_a_layernorm", vec![latent]),
            ("self_attn.kv_b_proj", vec![keys_and_values, latent]),
            ("self_attn.o_proj", vec![hidden, heads * self.v_head_dim]),
            ("post_attention_layernorm", vec![hidden]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
        ];
        match self.q_lora_rank {
            None => layer.push(("self_attn.q_proj", vec![queries, hidden])),
            Some(rank) => layer.extend([
                ("self_attn.q_a_proj", vec![rank, hidden]),
                ("self_attn.q_a_layernorm", vec![rank]),
                ("self_attn.q_b_proj", vec![queries, rank]),
            ]),
        }
        layer
    }
}

/// Numbers between −1 and 1 (a linear congruential generator, Knuth's constants).
struct Numbers(u64);

impl Numbers {
    fn take(&mut self, len: usize, of: impl Fn(f32) -> f32) -> Vec<f32> {
        let next = || {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            of((self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
        };
        std::iter::repeat_with(next).take(len).collect()
    }
}
