#!/usr/bin/env python3
"""Writes the golden files of this directory: small decode calls with the results that numpy gives in float64.

    pip install numpy ml_dtypes safetensors
    python make_golden.py [DIRECTORY]

The files are what `oxmla replay` reads: tensors `q [b, s_q, h_q, 576]`, `kv_cache [blocks, 64, h_k, 576]`, in the
file in `replay` `[blocks, 64, 1, 656]` bytes, which count as what they are dequantised to in the type of `q`,
`block_table [b, max_blocks]`, `cache_seqlens [b]`, `expect_out [b, s_q, h_q, 512]`, `expect_lse [b, h_q, s_q]`,
and metadata `softmax_scale` and `causal`. Nothing here is translated from the Rust sources: requests are
gathered into plain matrices, and attention is written as the textbook has it. Where PyTorch is installed, its
own attention must agree before a file is written. Two runs give the same file, but for the order in which
safetensors writes the two metadata keys.
"""

import sys
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

import make_fp8

BLOCK, WIDTH, VALUE_WIDTH = 64, 576, 512
UNUSED_ID = 2147480000


def attention(query, rows, scale, visible):
    """One head of one query token over the first `visible` rows of its request."""
    if visible <= 0:
        return np.zeros(VALUE_WIDTH), -np.inf
    scores = rows[:visible] @ query * scale
    lse = np.logaddexp.reduce(scores)
    return np.exp(scores - lse) @ rows[:visible, :VALUE_WIDTH], lse


def torch_agrees(query, rows, scale, visible, out, lse):
    try:
        import torch
    except ImportError:
        return True
    if visible <= 0:
        return True
    q, k = (torch.from_numpy(x).unsqueeze(0) for x in (query[None], rows[:visible]))
    theirs = torch.nn.functional.scaled_dot_product_attention(q, k, k[..., :VALUE_WIDTH], scale=scale)
    their_lse = torch.logsumexp((k[0] @ q[0, 0]) * scale, dim=0)
    return np.allclose(theirs.numpy()[0, 0], out, rtol=0, atol=1e-12) and np.isclose(their_lse.item(), lse)


def fp8_rows(rows):
    """The bytes of tokens `[length, 1, 576]`, quantised, and the elements that they count as."""
    latent, rope = rows[:, 0, :VALUE_WIDTH], np.ascontiguousarray(rows[:, 0, VALUE_WIDTH:])
    codes, scales = make_fp8.quantise(latent.astype(ml_dtypes.bfloat16), 128, False)
    rope = rope.astype(ml_dtypes.bfloat16)
    packed = np.concatenate([codes, scales.astype("<f4").view(np.uint8), rope.view(np.uint8)], axis=1)
    values = make_fp8.dequantise(codes, scales, 128).astype(rows.dtype)
    return packed[:, None], np.concatenate([values, rope.astype(rows.dtype)], axis=1)[:, None]


def make(path, seed, dtype, lengths, s_q, h_q, h_k, causal, scale, spare_blocks, fp8=False):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return np.clip(rng.standard_normal(shape) / 10, -1, 1).astype(dtype)

    batch = len(lengths)
    needed = [-(-length // BLOCK) for length in lengths]
    blocks = sum(needed) + spare_blocks
    ids = iter(rng.permutation(blocks))

    q = draw(batch, s_q, h_q, WIDTH)
    cache = np.full((blocks, BLOCK, h_k, WIDTH), np.nan, dtype)
    if fp8:
        cache = np.full((blocks, BLOCK, 1, 656), 0xFF, np.uint8)
    table = np.full((batch, max(needed) + 1), UNUSED_ID, np.int32)
    out = np.zeros((batch, s_q, h_q, VALUE_WIDTH))
    lse = np.zeros((batch, h_q, s_q))
    for request, length in enumerate(lengths):
        rows = draw(length, h_k, WIDTH)
        cached, rows = fp8_rows(rows) if fp8 else (rows, rows)
        for index in range(needed[request]):
            table[request, index] = block = next(ids)
            part = cached[index * BLOCK : (index + 1) * BLOCK]
            cache[block, : len(part)] = part
        for token in range(s_q):
            visible = length - (s_q - 1 - token) if causal else length
            for head in range(h_q):
                query = q[request, token, head].astype(np.float64)
                of_head = rows[:, head * h_k // h_q].astype(np.float64)
                result = attention(query, of_head, scale, visible)
                assert torch_agrees(query, of_head, scale, visible, *result)
                out[request, token, head], lse[request, head, token] = result

    tensors = {
        "q": q,
        "kv_cache": cache,
        "block_table": table,
        "cache_seqlens": np.array(lengths, np.int32),
        "expect_out": out.astype(np.float32),
        "expect_lse": lse.astype(np.float32),
    }
    metadata = {"softmax_scale": repr(scale), "causal": str(causal).lower()}
    save_file(tensors, path, metadata)
    print(f"{path.name}: {path.stat().st_size} bytes")


def main():
    to = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    make(to / "causal_bf16.safetensors", seed=5, dtype=ml_dtypes.bfloat16, lengths=[70, 0, 64],
         s_q=2, h_q=4, h_k=1, causal=True, scale=576**-0.5, spare_blocks=1)
    make(to / "no_mask_f16.safetensors", seed=6, dtype=np.float16, lengths=[1, 0, 65],
         s_q=2, h_q=4, h_k=1, causal=False, scale=576**-0.5, spare_blocks=1)
    # As many heads as 8-way tensor parallelism leaves of DeepSeek-V3, and its scale.
    make(to / "one_token_bf16.safetensors", seed=7, dtype=ml_dtypes.bfloat16, lengths=[128, 5],
         s_q=1, h_q=16, h_k=1, causal=True, scale=0.1352337788608801, spare_blocks=0)
    # Two KV heads, fewer tokens than query tokens, and a sharp softmax.
    make(to / "two_kv_heads_f16.safetensors", seed=8, dtype=np.float16, lengths=[2, 50],
         s_q=3, h_q=6, h_k=2, causal=True, scale=2.0, spare_blocks=0)
    (to / "replay").mkdir(exist_ok=True)
    make(to / "replay" / "fp8_decode_bf16.safetensors", seed=9, dtype=ml_dtypes.bfloat16, lengths=[70, 1, 64],
         s_q=2, h_q=4, h_k=1, causal=True, scale=576**-0.5, spare_blocks=1, fp8=True)


if __name__ == "__main__":
    main()
