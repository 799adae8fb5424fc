#!/usr/bin/env python3
"""Writes `sparse/`, and `replay/fp8_sparse_…` over FP8: small calls of sparse attention with what numpy gives in float64.

    pip install numpy ml_dtypes safetensors
    python make_sparse.py [DIRECTORY]

Tensors, bf16 unless said otherwise: `q [tokens, h_q, d_qk]`, `kv_cache [blocks, block_size, 1, d_qk]`, `indices [tokens,
topk]` i32, and where a call has them `lengths [tokens]` i32, `extra_kv_cache`, `extra_indices` and `extra_lengths` of a
second cache, `sink [h_q]` f32; `expect_out [tokens, h_q, 512]`, `expect_lse` and `expect_max_logits [tokens, h_q]` f32;
metadata `softmax_scale`. Nothing here is translated from the Rust sources. Rows that no list names are NaN. Where PyTorch
is installed, its own attention must agree with calls without a sink before a file is written.
"""

import sys
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

import make_fp8

VALUE_WIDTH = 512
BF16 = ml_dtypes.bfloat16
NOTHING = [-1, -(2**31), 2**31 - 1]


def attention(query, rows, scale, sink):
    """A query over rows, beside a score `sink` that has no value: output, LSE without the sink, largest score."""
    if len(rows) == 0:
        return np.zeros(VALUE_WIDTH), -np.inf, -np.inf
    scores = rows @ query * scale
    lse = np.logaddexp.reduce(scores)
    return np.exp(scores - np.logaddexp(lse, sink)) @ rows[:, :VALUE_WIDTH], lse, scores.max()


def torch_agrees(query, rows, scale, out):
    try:
        import torch
    except ImportError:
        return True
    if len(rows) == 0:
        return True
    q, k = (torch.from_numpy(x).unsqueeze(0) for x in (query[None], rows))
    theirs = torch.nn.functional.scaled_dot_product_attention(q, k, k[..., :VALUE_WIDTH], scale=scale)
    return np.allclose(theirs.numpy()[0, 0], out, rtol=0, atol=1e-12)


def draw(rng, *shape):
    return np.clip(rng.standard_normal(shape) / 10, -1, 1).astype(BF16)


class List:
    """A cache `[blocks, size, 1, width]`, and for each token a list of its rows, some of which do not exist."""

    def __init__(self, rng, tokens, width, topk, blocks, size, lengths):
        rows = blocks * size
        self.indices = rng.integers(0, rows, (tokens, topk)).astype(np.int32)
        missing = rng.random((tokens, topk)) < 0.2
        self.indices[missing] = rng.choice(NOTHING + [rows], missing.sum())
        self.lengths, self.packed = lengths, None
        self.cache = np.full((blocks, size, 1, width), np.nan, BF16)
        for token in range(tokens):
            for row in self.named(token):
                self.cache[row // size, row % size, 0] = draw(rng, width)

    def named(self, token):
        blocks, size = self.cache.shape[:2]
        count = len(self.indices[token]) if self.lengths is None else max(self.lengths[token], 0)
        return [int(i) for i in self.indices[token, :count] if 0 <= i < blocks * size]

    def rows(self, token):
        flat = self.cache.reshape(-1, self.cache.shape[-1]).astype(np.float64)
        return flat[self.named(token)]

    def over_fp8(self):
        """Makes the cache one of bytes; rows count as what they are dequantised to, in bf16."""
        flat = self.cache.reshape(-1, self.cache.shape[-1])
        blocks, size, width = *self.cache.shape[:2], self.cache.shape[-1]
        latent = width - make_fp8.ROPE
        tile, power_of_two = (64, True) if width == 512 else (128, False)
        codes, scales = make_fp8.quantise(flat[:, :latent], tile, power_of_two)
        rope = np.ascontiguousarray(flat[:, latent:])
        values = make_fp8.dequantise(codes, scales, tile).astype(BF16)
        self.cache = np.concatenate([values, rope], axis=1).reshape(self.cache.shape)
        by_block = [part.reshape(blocks, size, -1) for part in (codes, scales, rope)]
        lay_out = make_fp8.cache_584 if width == 512 else make_fp8.cache_656
        packed = [lay_out(*block, size) for block in zip(*by_block)]
        self.packed = np.stack(packed).reshape(blocks, size, 1, -1)

    def tensors(self, prefix):
        cache = self.cache if self.packed is None else self.packed
        found = {prefix + "kv_cache": cache, prefix + "indices": self.indices}
        if self.lengths is not None:
            found[prefix + "lengths"] = np.array(self.lengths, np.int32)
        return found


def make(path, seed, tokens, heads, width, lists, sink, fp8=False):
    rng = np.random.default_rng(seed)
    scale = width**-0.5
    q = draw(rng, tokens, heads, width)
    lists = [List(rng, tokens, width, *shape) for shape in lists]
    if fp8:
        for each in lists:
            each.over_fp8()
    out = np.zeros((tokens, heads, VALUE_WIDTH))
    lse, largest = np.zeros((2, tokens, heads))
    for token in range(tokens):
        rows = np.concatenate([each.rows(token) for each in lists])
        for head in range(heads):
            query = q[token, head].astype(np.float64)
            beside = -np.inf if sink is None else sink[head]
            result = attention(query, rows, scale, beside)
            assert sink is not None or torch_agrees(query, rows, scale, result[0])
            out[token, head], lse[token, head], largest[token, head] = result

    tensors = {
        "q": q,
        "expect_out": out.astype(np.float32),
        "expect_lse": lse.astype(np.float32),
        "expect_max_logits": largest.astype(np.float32),
    }
    for prefix, each in zip(["", "extra_"], lists):
        tensors |= each.tensors(prefix)
    if sink is not None:
        tensors["sink"] = np.array(sink, np.float32)
    save_file(tensors, path, metadata={"softmax_scale": repr(scale)})


def main():
    here = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "sparse"
    here.mkdir(exist_ok=True)
    # Of each list: top-k, blocks, block size, lengths.
    make(here / "plain_576.safetensors", 1, 3, 2, 576, [(70, 4, 13, None)], None)
    make(here / "lengths_512.safetensors", 2, 4, 3, 512, [(33, 1, 40, [33, 0, -5, 7])], None)
    second = [(20, 5, 9, [20, 0, 11]), (65, 20, 2, [65, 3, 0])]
    make(here / "second_cache_576.safetensors", 3, 3, 4, 576, second, [-np.inf, np.inf, 0.5, 4.0])
    replay = here.parent / "replay"
    replay.mkdir(exist_ok=True)
    make(replay / "fp8_sparse_decode_576.safetensors", 4, 3, 2, 576, [(70, 4, 13, None)], None, fp8=True)
    make(replay / "fp8_sparse_decode_512.safetensors", 5, 4, 3, 512, [(33, 1, 40, [33, 0, -5, 7])], None, fp8=True)


if __name__ == "__main__":
    main()
