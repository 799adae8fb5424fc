//! `config.json`: of the models there are, and of some that are not supported.
//!
//! The values have been compared with copies of the published files:
//! - DeepSeek-V2 and V3 whole, in `tests/unit_tests/models/deepseek/test_deepseek_bridges.py` of
//!   NVIDIA-NeMo/Megatron-Bridge;
//! - DeepSeek-V2-Lite, Moonlight and Kimi-K2-Instruct field by field, in `deepseek/deepseek_provider.py` and
//!   `kimi/kimi_provider.py` of `src/megatron/bridge/models` there, but for the number of positions of the last two,
//!   which is what their model cards promise;
//! - Kimi-K2-Instruct-0905 in `model_inspection_report.md` of ParagEkbote/hf-model-inspector.

use oxmla::layer::MlaConfig;
use oxmla::{Rope, Yarn};
use serde_json::{Value, json};

/// The fields of DeepSeek-V3 that matter to attention.
fn deepseek_v3() -> Value {
    json!({
        "model_type": "deepseek_v3",
        "attention_bias": false,
        "hidden_size": 7168,
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "num_key_value_heads": 128,
        "q_lora_rank": 1536,
        "kv_lora_rank": 512,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000,
        "rope_scaling": {
            "type": "yarn", "factor": 40, "original_max_position_embeddings": 4096,
            "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0
        },
        "max_position_embeddings": 163840
    })
}

fn read(json: &Value) -> Result<MlaConfig, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::fs::write(&path, json.to_string()).unwrap();
    let place = format!("{}: ", path.display());
    MlaConfig::from_json(path)
        .map_err(|error| error.to_string().strip_prefix(&place).unwrap().to_owned())
}

/// What is said about DeepSeek-V3's fields with some of them changed.
fn with(changes: &Value) -> Result<MlaConfig, String> {
    let mut json = deepseek_v3();
    for (name, value) in changes.as_object().unwrap() {
        json[name] = value.clone();
    }
    read(&json)
}

#[test]
fn models() {
    let v3 = MlaConfig::deepseek_v3();
    assert_eq!(read(&deepseek_v3()), Ok(v3.clone()));
    let as_published = json!({ "quantization_config": {
        "activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
        "weight_block_size": [128, 128]
    } });
    assert_eq!(with(&as_published), Ok(v3.clone()));
    assert!((v3.softmax_scale() - 0.135_233_78).abs() < 1e-7);

    let rope_v2 = json!({
        "type": "yarn", "factor": 40, "original_max_position_embeddings": 4096,
        "beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707
    });
    let v2 = json!({
        "model_type": "deepseek_v2", "hidden_size": 5120, "num_hidden_layers": 60,
        "rope_scaling": rope_v2
    });
    let yarn = Yarn { mscale: 0.707, mscale_all_dim: 0.707, ..Yarn::deepseek_v3() };
    let expected =
        MlaConfig { hidden_size: 5120, rope: Rope::new(1e4, Some(yarn)).unwrap(), ..v3.clone() };
    assert_eq!(with(&v2), Ok(expected.clone()));

    let v2_lite = json!({
        "model_type": "deepseek_v2", "hidden_size": 2048, "num_hidden_layers": 27,
        "num_attention_heads": 16, "num_key_value_heads": 16, "q_lora_rank": null,
        "rope_scaling": rope_v2
    });
    let expected =
        MlaConfig { hidden_size: 2048, num_attention_heads: 16, q_lora_rank: None, ..expected };
    assert_eq!(with(&v2_lite), Ok(expected.clone()));

    let moonlight = json!({
        "hidden_size": 2048, "num_hidden_layers": 27, "num_attention_heads": 16,
        "num_key_value_heads": 16, "q_lora_rank": null, "rms_norm_eps": 1e-5,
        "rope_theta": 50000.0, "rope_scaling": null, "max_position_embeddings": 8192
    });
    let expected = MlaConfig {
        rms_norm_eps: 1e-5,
        rope: Rope::new(5e4, None).unwrap(),
        max_position_embeddings: 8192,
        ..expected
    };
    assert_eq!(with(&moonlight), Ok(expected));

    // Kimi-K2-Instruct, and that of September 2025.
    for (factor, positions) in [(32.0, 131_072), (64.0, 262_144)] {
        let kimi_k2 = json!({
            "model_type": "kimi_k2", "num_attention_heads": 64, "num_key_value_heads": 64,
            "rope_theta": 50000.0, "max_position_embeddings": positions,
            "rope_scaling": {
                "type": "yarn", "factor": factor, "original_max_position_embeddings": 4096,
                "beta_fast": 1.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0
            }
        });
        let yarn = Yarn { factor, beta_fast: 1.0, ..Yarn::deepseek_v3() };
        let expected = MlaConfig {
            num_attention_heads: 64,
            rope: Rope::new(5e4, Some(yarn)).unwrap(),
            max_position_embeddings: positions,
            ..v3.clone()
        };
        assert_eq!(with(&kimi_k2), Ok(expected));
    }
}

#[test]
fn newer_files_have_rope_parameters() {
    let mut json = deepseek_v3();
    let mut parameters = json["rope_scaling"].take();
    parameters["rope_type"] = parameters.as_object_mut().unwrap().remove("type").unwrap();
    parameters["rope_theta"] = json["rope_theta"].take();
    json["rope_parameters"] = parameters;
    assert_eq!(read(&json), Ok(MlaConfig::deepseek_v3()));
    // As transformers 5 writes what it has read from an older file.
    json["rope_parameters"]["type"] = json!("yarn");
    json["head_dim"] = json!(64);
    assert_eq!(read(&json), Ok(MlaConfig::deepseek_v3()));
    json["rope_parameters"] = json!({ "rope_type": "default", "rope_theta": 10000.0 });
    assert_eq!(read(&json).unwrap().rope, Rope::new(1e4, None).unwrap());
}

#[test]
fn unsupported_values_are_named() {
    let refused = |changes, expected: &str| assert_eq!(with(&changes).unwrap_err(), expected);
    refused(
        json!({ "model_type": "llama" }),
        "`model_type` must be one of [\"deepseek_v2\", \"deepseek_v3\", \"kimi_k2\"], but is \"llama\"",
    );
    refused(json!({ "kv_lora_rank": 256 }), "`kv_lora_rank` must be 512, but is 256");
    refused(json!({ "qk_rope_head_dim": 32 }), "`qk_rope_head_dim` must be 64, but is 32");
    refused(
        json!({ "attention_bias": true }),
        "`attention_bias` must be false or missing, but is true",
    );
    refused(
        json!({ "rope_interleave": false }),
        "`rope_interleave` must be true or missing, but is false",
    );
    refused(
        json!({ "index_topk": 2048 }),
        "`index_topk` must be missing: sparse attention is not supported, but is 2048",
    );
    refused(
        json!({ "quantization_config": { "quant_method": "fp8", "weight_block_size": [64, 64] } }),
        "`quantization_config.weight_block_size` must be [128,128] or missing, but is [64,64]",
    );
    refused(
        json!({ "num_key_value_heads": 8 }),
        "`num_key_value_heads` must be 128 or missing, but is 8",
    );
    refused(
        json!({ "hidden_size": 0 }),
        "`hidden_size` must be a whole number from 1 on, but is 0",
    );
    refused(
        json!({ "v_head_dim": null }),
        "`v_head_dim` must be a whole number from 1 on, but is null",
    );
    refused(json!({ "rms_norm_eps": "1" }), "`rms_norm_eps` must be a number, but is \"1\"");
    refused(
        json!({ "rms_norm_eps": -1 }),
        "`rms_norm_eps` must be a number that is at least 0, but is -1",
    );
    refused(
        json!({ "rope_theta": 0.5 }),
        "`rope_theta` must be finite and greater than 1, but is 0.5",
    );
}

#[test]
fn unsupported_rope_scaling_is_named() {
    let refused = |scaling: Value, expected: &str| {
        assert_eq!(with(&json!({ "rope_scaling": scaling })).unwrap_err(), expected);
    };
    let yarn = |name: &str, value: Value| {
        let mut scaling = deepseek_v3()["rope_scaling"].clone();
        scaling[name] = value;
        scaling
    };
    refused(
        yarn("type", json!("linear")),
        "`rope_scaling.type` must be \"yarn\" or \"default\", but is \"linear\"",
    );
    refused(
        yarn("factor", json!(0.5)),
        "`rope_scaling.factor` must be finite and at least 1, but is 0.5",
    );
    refused(
        yarn("original_max_position_embeddings", Value::Null),
        "`rope_scaling.original_max_position_embeddings` must be a number, but is null",
    );
    refused(json!(40), "`rope_scaling` must be an object or null, but is 40");
    let unknown = with(&json!({ "rope_scaling": yarn("truncate", json!(false)) })).unwrap_err();
    assert!(unknown.starts_with("`rope_scaling.truncate` must be missing: "), "{unknown}");
}

#[test]
fn what_is_no_object_is_refused() {
    assert_eq!(read(&json!([1])).unwrap_err(), "`(root)` must be an object, but is [1]");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    assert!(MlaConfig::from_json(&path).unwrap_err().to_string().contains("config.json"));
    std::fs::write(&path, "{").unwrap();
    assert!(MlaConfig::from_json(&path).unwrap_err().to_string().contains("config.json: EOF"));
}
