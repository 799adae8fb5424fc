#!/usr/bin/env python3
"""Writes the golden files in `layer`: small checkpoints of attention layers, with what numpy makes of them in float64.

    pip install numpy ml_dtypes safetensors
    python make_layer.py [DIRECTORY]

Each directory is a checkpoint as Hugging Face has them, `config.json` with weights in one file or in two and an
index, and an `expected.safetensors`: of one request `hidden [tokens, hidden]` and `out [tokens, hidden]`.

Nothing here is translated from the Rust sources, and nothing is absorbed: keys and values of every head are expanded
from the latent, rotations are products of complex numbers, and attention is written as the textbook has it. Two runs
give the same files.
"""

import json
import math
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

PREFIX = "model.layers.1.self_attn."
LATENT, ROPE = 512, 64


def yarn_frequencies(theta, scaling):
    """Radians per position of each pair. A pair whose wave is short against the original context keeps its
    frequency, one whose wave is long is slowed down by `factor`, those between are mixed linearly by their index."""
    pairs = np.arange(ROPE // 2)
    plain = theta ** (-2.0 * pairs / ROPE)
    if scaling is None:
        return plain
    context = scaling["original_max_position_embeddings"]

    def index_of(rotations):
        # theta^(-2 i / ROPE) · context = 2 π · rotations, solved for i.
        return ROPE * math.log(context / (2 * math.pi * rotations)) / (2 * math.log(theta))

    low = max(math.floor(index_of(scaling["beta_fast"])), 0)
    high = min(math.ceil(index_of(scaling["beta_slow"])), ROPE - 1)
    interpolated = np.clip((pairs - low) / max(high - low, 0.001), 0, 1)
    return plain * (1 - interpolated) + plain / scaling["factor"] * interpolated


def mscale(scaling, weight):
    return 0.1 * weight * math.log(scaling["factor"]) + 1.0 if scaling["factor"] > 1 else 1.0


def rotate(x, config):
    """Turns `x [tokens, ..., 64]`, neighbours being real and imaginary part of a complex number."""
    scaling = config["rope_scaling"]
    angles = np.outer(np.arange(len(x)), yarn_frequencies(config["rope_theta"], scaling))
    turns = np.exp(1j * angles)
    if scaling is not None:
        turns *= mscale(scaling, scaling["mscale"]) / mscale(scaling, scaling["mscale_all_dim"])
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * turns.reshape(len(x), *[1] * (x.ndim - 2), -1)
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)


def rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def layer(hidden, weights, config):
    tokens, heads = len(hidden), config["num_attention_heads"]
    nope, v, eps = config["qk_nope_head_dim"], config["v_head_dim"], config["rms_norm_eps"]
    if config["q_lora_rank"] is None:
        q = hidden @ weights["q_proj"].T
    else:
        compressed = rms_norm(hidden @ weights["q_a_proj"].T, weights["q_a_layernorm"], eps)
        q = compressed @ weights["q_b_proj"].T
    q = q.reshape(tokens, heads, nope + ROPE)
    kv = hidden @ weights["kv_a_proj_with_mqa"].T
    latent = rms_norm(kv[:, :LATENT], weights["kv_a_layernorm"], eps)
    expanded = (latent @ weights["kv_b_proj"].T).reshape(tokens, heads, nope + v)

    shared_key = np.broadcast_to(rotate(kv[:, LATENT:], config)[:, None], (tokens, heads, ROPE))
    keys = np.concatenate([expanded[..., :nope], shared_key], axis=-1)
    queries = np.concatenate([q[..., :nope], rotate(q[..., nope:], config)], axis=-1)
    scale = (nope + ROPE) ** -0.5
    if config["rope_scaling"] is not None:
        scale *= mscale(config["rope_scaling"], config["rope_scaling"]["mscale_all_dim"]) ** 2
    scores = np.einsum("qhd,khd->hqk", queries, keys) * scale
    scores = np.where(np.tril(np.ones((tokens, tokens), bool)), scores, -np.inf)
    weights_of = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights_of /= weights_of.sum(axis=-1, keepdims=True)
    values = np.einsum("hqk,khd->qhd", weights_of, expanded[..., nope:])
    return values.reshape(tokens, heads * v) @ weights["o_proj"].T


def make(to, seed, dtype, config, tokens, shards):
    rng = np.random.default_rng(seed)
    hidden_size, heads, rank = config["hidden_size"], config["num_attention_heads"], config["q_lora_rank"]
    nope, v = config["qk_nope_head_dim"], config["v_head_dim"]

    def draw(*shape, gain=1.0):
        return (rng.standard_normal(shape) * gain / math.sqrt(shape[-1])).astype(dtype)

    def norm(width):
        return rng.uniform(0.5, 1.5, width).astype(dtype)

    # The gain of the queries makes the softmax pick a few tokens out of all.
    if rank is None:
        weights = {"q_proj": draw(heads * (nope + ROPE), hidden_size, gain=3.0)}
    else:
        weights = {
            "q_a_proj": draw(rank, hidden_size),
            "q_a_layernorm": norm(rank),
            "q_b_proj": draw(heads * (nope + ROPE), rank, gain=3.0),
        }
    weights |= {
        "kv_a_proj_with_mqa": draw(LATENT + ROPE, hidden_size),
        "kv_a_layernorm": norm(LATENT),
        "kv_b_proj": draw(heads * (nope + v), LATENT),
        "o_proj": draw(hidden_size, heads * v),
    }
    hidden = rng.standard_normal((tokens, hidden_size)).astype(dtype)
    exact = {name: weight.astype(np.float64) for name, weight in weights.items()}
    out = layer(hidden.astype(np.float64), exact, config)

    to.mkdir(parents=True, exist_ok=True)
    (to / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    named = [(f"{PREFIX}{name}.weight", weight) for name, weight in weights.items()]
    if shards == 1:
        save_file(dict(named), to / "model.safetensors")
    else:
        places = {}
        for shard in range(shards):
            file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
            of_shard = dict(named[shard::shards])
            save_file(of_shard, to / file)
            places |= dict.fromkeys(of_shard, file)
        index = {"metadata": {}, "weight_map": places}
        (to / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    save_file({"hidden": hidden, "out": out.astype(np.float32)}, to / "expected.safetensors")
    print(f"{to.name}: {sum(file.stat().st_size for file in to.iterdir())} bytes, out {out.std():.3f}")


def main():
    to = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "layer"
    common = {
        "num_hidden_layers": 2,
        "kv_lora_rank": LATENT,
        "qk_rope_head_dim": ROPE,
        "attention_bias": False,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 4096,
    }
    # As DeepSeek-V3: compressed queries, YaRN. A short original context and an amplitude other than 1 let YaRN show
    # within a few positions.
    make(to / "compressed_yarn_bf16", 11, ml_dtypes.bfloat16, {
        "model_type": "deepseek_v3",
        **common,
        "hidden_size": 40,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "q_lora_rank": 24,
        "qk_nope_head_dim": 8,
        "v_head_dim": 12,
        "rope_theta": 10000.0,
        "rope_scaling": {
            "type": "yarn", "factor": 40.0, "original_max_position_embeddings": 64,
            "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 0.707,
        },
    }, tokens=150, shards=2)
    # As Moonlight: queries at once, no YaRN.
    make(to / "direct_f16", 12, np.float16, {
        "model_type": "deepseek_v3",
        **common,
        "hidden_size": 24,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "q_lora_rank": None,
        "qk_nope_head_dim": 16,
        "v_head_dim": 8,
        "rope_theta": 50000.0,
        "rope_scaling": None,
    }, tokens=70, shards=1)


if __name__ == "__main__":
    main()
