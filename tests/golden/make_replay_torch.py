#!/usr/bin/env python3
"""Writes a decode call of realistic size, with the results that PyTorch gives, for `oxmla replay`.

    pip install torch safetensors
    python make_replay_torch.py OUT.safetensors [--dtype float16] [--device cpu] [--batch 16] ...

Works on a GPU if PyTorch finds one. Attention is written with dense matrices and a triangular mask, in float64.
"""

import argparse

import torch
from safetensors.torch import save_file

BLOCK, WIDTH, VALUE_WIDTH = 64, 576, 512
UNUSED_ID = 2147480000


def arguments():
    parser = argparse.ArgumentParser(description="A decode call for `oxmla replay`, with PyTorch's results.")
    parser.add_argument("out", help="file to write")
    parser.add_argument("--dtype", choices=["bfloat16", "float16"], default="bfloat16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--heads", type=int, default=128)
    parser.add_argument("--query-tokens", type=int, default=2)
    parser.add_argument("--longest", type=int, default=4096, help="tokens of the longest request")
    parser.add_argument("--no-causal", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def attention(q, rows, scale, causal):
    """`q [s_q, heads, 576]` over `rows [tokens, 576]`: output `[s_q, heads, 512]` and LSE `[heads, s_q]`."""
    q, rows = q.double(), rows.double()
    scores = torch.einsum("shd,td->hst", q, rows) * scale
    if causal:
        s_q, tokens = q.shape[0], rows.shape[0]
        seen = torch.ones(s_q, tokens, dtype=torch.bool, device=q.device).tril(tokens - s_q)
        scores = scores.masked_fill(~seen, -torch.inf)
    lse = torch.logsumexp(scores, dim=-1)
    # A query token that sees nothing has a softmax of NaN; its output is zero.
    weights = torch.softmax(scores, dim=-1).nan_to_num(0.0)
    return torch.einsum("hst,tv->shv", weights, rows[:, :VALUE_WIDTH]), lse


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    device, dtype, causal = args.device, getattr(torch, args.dtype), not args.no_causal
    scale = 0.1352337788608801  # DeepSeek-V3: 192^-1/2, times the square of YaRN's factor

    # From one token to the longest request, in a random order; one request that has none yet.
    lengths = torch.linspace(1, args.longest, args.batch).round().int()[torch.randperm(args.batch)]
    lengths[args.batch // 2] = 0
    needed = (lengths + BLOCK - 1) // BLOCK
    blocks = int(needed.sum()) + 8
    order = torch.randperm(blocks, dtype=torch.int32)

    def randn(*shape):
        return (torch.randn(*shape, device=device) / 10).clamp(-1, 1).to(dtype)

    q = randn(args.batch, args.query_tokens, args.heads, WIDTH)
    cache = torch.full((blocks, BLOCK, 1, WIDTH), torch.nan, dtype=dtype, device=device)
    table = torch.full((args.batch, int(needed.max())), UNUSED_ID, dtype=torch.int32)
    out = torch.zeros(args.batch, args.query_tokens, args.heads, VALUE_WIDTH)
    lse = torch.full((args.batch, args.heads, args.query_tokens), -torch.inf)
    first = 0
    for request in range(args.batch):
        ids = order[first : first + int(needed[request])]
        first += len(ids)
        table[request, : len(ids)] = ids
        length = int(lengths[request])
        if length == 0:
            continue
        rows = randn(length, WIDTH)
        padded = torch.full((len(ids) * BLOCK, WIDTH), torch.nan, dtype=dtype, device=device)
        padded[:length] = rows
        cache[ids.long().to(device)] = padded.view(-1, BLOCK, 1, WIDTH)
        of_request, lse_of_request = attention(q[request], rows, scale, causal)
        out[request], lse[request] = of_request.float().cpu(), lse_of_request.float().cpu()

    tensors = {
        "q": q.cpu(),
        "kv_cache": cache.cpu(),
        "block_table": table,
        "cache_seqlens": lengths,
        "expect_out": out,
        "expect_lse": lse,
    }
    save_file(tensors, args.out, metadata={"softmax_scale": str(scale), "causal": str(causal)})
    print(f"{args.out}: {args.batch} requests, {int(lengths.sum())} cached tokens, {blocks} blocks, on {device}")


if __name__ == "__main__":
    main()
