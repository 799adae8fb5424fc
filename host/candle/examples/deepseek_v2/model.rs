//! DeepSeek-V2 without experts: candle's layers around oxmla's attention.

use anyhow::Result;
use candle_core::{Device, IndexOp, Tensor};
use candle_nn::{
    Embedding, Linear, Module, RmsNorm, VarBuilder, embedding, linear_no_bias, ops, rms_norm,
};
use oxmla::layer::MlaConfig;

use crate::attention::{Attention, Shared};
use crate::weights::Sizes;

/// The model, and the one request that it has.
pub struct Model {
    embed_tokens: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    lm_head: Linear,
    shared: Shared,
}

struct Layer {
    input_layernorm: RmsNorm,
    attention: Attention,
    post_attention_layernorm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Model {
    /// The model whose weights `vb` has.
    pub fn new(config: &MlaConfig, sizes: &Sizes, vb: &VarBuilder<'_>) -> Result<Self> {
        let (vocab, hidden) = (sizes.vocab_size, sizes.hidden_size);
        let model = vb.pp("model");
        let layers = (0..sizes.num_hidden_layers)
            .map(|layer| Layer::new(config, sizes, &model.pp("layers").pp(layer)))
            .collect::<Result<Vec<_>>>()?;
        let attentions: Vec<_> = layers.iter().map(|layer| &layer.attention).collect();
        Ok(Self {
            embed_tokens: embedding(vocab, hidden, model.pp("embed_tokens"))?,
            norm: rms_norm(hidden, sizes.rms_norm_eps, model.pp("norm"))?,
            lm_head: linear_no_bias(hidden, vocab, vb.pp("lm_head"))?,
            shared: Shared::new(&attentions)?,
            layers,
        })
    }

    /// Logits `[vocab]` behind the last of `tokens`, which come behind all tokens of earlier calls.
    pub fn forward(&mut self, tokens: &[u32]) -> Result<Tensor> {
        let plan = self.shared.plan(tokens.len())?;
        let mut x = self.embed_tokens.forward(&Tensor::new(tokens, &Device::Cpu)?)?;
        for layer in &mut self.layers {
            let normalised = layer.input_layernorm.forward(&x)?;
            x = (x + layer.attention.forward(&mut self.shared, &plan, &normalised)?)?;
            x = (&x + layer.mlp(&layer.post_attention_layernorm.forward(&x)?)?)?;
        }
        let last = self.norm.forward(&x.i(tokens.len() - 1..)?)?;
        Ok(self.lm_head.forward(&last)?.squeeze(0)?)
    }
}

impl Layer {
    fn new(config: &MlaConfig, sizes: &Sizes, vb: &VarBuilder<'_>) -> Result<Self> {
        let (hidden, inner, eps) = (sizes.hidden_size, sizes.intermediate_size, sizes.rms_norm_eps);
        Ok(Self {
            input_layernorm: rms_norm(hidden, eps, vb.pp("input_layernorm"))?,
            attention: Attention::new(config, &vb.pp("self_attn"))?,
            post_attention_layernorm: rms_norm(hidden, eps, vb.pp("post_attention_layernorm"))?,
            gate: linear_no_bias(hidden, inner, vb.pp("mlp.gate_proj"))?,
            up: linear_no_bias(hidden, inner, vb.pp("mlp.up_proj"))?,
            down: linear_no_bias(inner, hidden, vb.pp("mlp.down_proj"))?,
        })
    }

    fn mlp(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let gated = (ops::silu(&self.gate.forward(x)?)? * self.up.forward(x)?)?;
        self.down.forward(&gated)
    }
}
