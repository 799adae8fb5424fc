//! `config.json`.

use std::path::Path;

use serde_json::json;

use super::Result;
use super::blocks::BLOCK;
use super::fields::{self, Fields};
use crate::error::Error;
use crate::layer::MlaConfig;
use crate::rope::{Rope, Yarn};

const MODELS: [&str; 3] = ["deepseek_v2", "deepseek_v3", "kimi_k2"];
const YARN_FIELDS: [&str; 9] = [
    "type",
    "rope_type",
    "rope_theta",
    "factor",
    "original_max_position_embeddings",
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
];

/// The attention of a model, and its number of layers.
pub fn read(path: &Path) -> Result<(MlaConfig, usize)> {
    let json = fields::parse(path)?;
    let fields = Fields::new(path, &json)?;
    check_model(&fields)?;
    let config = MlaConfig {
        hidden_size: fields.size("hidden_size")?,
        num_attention_heads: fields.size("num_attention_heads")?,
        q_lora_rank: fields.optional_size("q_lora_rank")?,
        kv_lora_rank: fields.size("kv_lora_rank")?,
        qk_nope_head_dim: fields.size("qk_nope_head_dim")?,
        qk_rope_head_dim: fields.size("qk_rope_head_dim")?,
        v_head_dim: fields.size("v_head_dim")?,
        rms_norm_eps: epsilon(&fields)?,
        rope: rope(&fields)?,
        max_position_embeddings: fields.size("max_position_embeddings")?,
    };
    Ok((config, fields.size("num_hidden_layers")?))
}

/// Refuses models that compute something else.
fn check_model(fields: &Fields<'_>) -> Result<()> {
    let model = fields.get("model_type").and_then(|model| model.as_str());
    if !model.is_some_and(|model| MODELS.contains(&model)) {
        return Err(fields.must_be("model_type", &format!("one of {MODELS:?}")));
    }
    // Widths of the kernels.
    for (name, width) in [("kv_lora_rank", 512), ("qk_rope_head_dim", 64)] {
        if fields.size(name)? != width {
            return Err(fields.must_be(name, &width.to_string()));
        }
    }
    // Biases of the projections; rotation of halves instead of pairs; attention to selected tokens only.
    fields.only("attention_bias", &json!(false))?;
    fields.only("rope_interleave", &json!(true))?;
    if fields.get("index_topk").is_some() {
        return Err(fields.must_be("index_topk", "missing: sparse attention is not supported"));
    }
    // What a weight in scaled blocks is read as; one that is not does not care.
    if let Some(quantization) = fields.inner("quantization_config", "quantization_config.")? {
        quantization.only("weight_block_size", &json!([BLOCK, BLOCK]))?;
    }
    // MLA as published has as many "key-value heads" as heads: the keys and values that a latent expands to.
    let heads = fields.size("num_attention_heads")?;
    fields.only("num_key_value_heads", &json!(heads))
}

/// `rms_norm_eps`. JSON has no number that is not finite.
fn epsilon(fields: &Fields<'_>) -> Result<f64> {
    let epsilon = fields.number("rms_norm_eps")?;
    if epsilon < 0.0 {
        return Err(fields.must_be("rms_norm_eps", "a number that is at least 0"));
    }
    Ok(epsilon)
}

/// `rope_theta` and `rope_scaling`; newer files have both in `rope_parameters`.
fn rope(fields: &Fields<'_>) -> Result<Rope> {
    let scaling = match fields.inner("rope_parameters", "rope_parameters.")? {
        None => fields.inner("rope_scaling", "rope_scaling.")?,
        parameters => parameters,
    };
    let theta = match scaling {
        Some(scaling) if scaling.get("rope_theta").is_some() => scaling.number("rope_theta")?,
        _ => fields.number("rope_theta")?,
    };
    let yarn = scaling.map_or(Ok(None), |scaling| yarn(&scaling))?;
    Rope::new(theta, yarn).map_err(|error| match error {
        Error::InvalidNumber { arg, expected, got } => {
            scaling.filter(|_| arg != "rope_theta").unwrap_or(*fields).wrong(arg, expected, got)
        }
        other => fields.wrong("rope_scaling", "valid", other),
    })
}

fn yarn(scaling: &Fields<'_>) -> Result<Option<Yarn>> {
    if let Some(unknown) = scaling.names().find(|name| !YARN_FIELDS.contains(&name.as_str())) {
        return Err(scaling.must_be(unknown, &format!("missing: only {YARN_FIELDS:?} are known")));
    }
    let name = if scaling.get("type").is_some() { "type" } else { "rope_type" };
    match scaling.get(name).and_then(|kind| kind.as_str()) {
        Some("default") => Ok(None),
        Some("yarn") => Ok(Some(Yarn {
            factor: scaling.number("factor")?,
            original_max_position_embeddings: scaling.number("original_max_position_embeddings")?,
            beta_fast: scaling.number_or("beta_fast", 32.0)?,
            beta_slow: scaling.number_or("beta_slow", 1.0)?,
            mscale: scaling.number_or("mscale", 1.0)?,
            mscale_all_dim: scaling.number_or("mscale_all_dim", 0.0)?,
        })),
        _ => Err(scaling.must_be(name, "\"yarn\" or \"default\"")),
    }
}
