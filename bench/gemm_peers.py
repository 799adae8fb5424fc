#!/usr/bin/env python3
"""Times PyTorch's matrix products of a layer's shapes, which are cuBLAS's, the way `oxmla bench gemm` times ours.

    cargo run --release -p oxmla --features cli -- bench gemm --json ours.jsonl
    python3 bench/gemm_peers.py --json peers.jsonl --beside ours.jsonl

Needs PyTorch and a Hopper GPU, nothing else. Run both on one card, one after the other.
"""

import argparse
import json
import math
import shlex
import sys

# Inputs and outputs of DeepSeek-V3's q_a_proj, q_b_proj, kv_a_proj_with_mqa and o_proj; tokens.
WEIGHTS = [(7168, 1536), (1536, 24_576), (7168, 576), (16_384, 7168)]
TOKENS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 4096]
# Heads and tokens of `absorb` and `expand`; their inputs and outputs.
HEADS, HEAD_TOKENS = [16, 128], [1, 2, 8, 16, 64, 128, 256, 512]
ABSORB, EXPAND, ROPE = (128, 512), (512, 128), 64
# Bytes of weights that calls back to back go through, so that none finds its own in the L2.
ROTATED_BYTES = 300_000_000
DEVIATION = 0.06


def main():
    options = parse_options()
    ours = read(options.beside) if options.beside else {}
    import torch

    import machine
    from clock import Clock

    torch.manual_seed(0)
    sensor, clock = machine.Sensor(), Clock(options.repeat)
    environment = {
        **machine.describe(sensor), **machine.ceilings(), "repeat": options.repeat,
        "command": shlex.join(["python3", *sys.argv]),
    }
    print("| product | case | torch | sustained | oxmla | sustained | torch / oxmla | sustained |")
    print("|---|---|---|---|---|---|---|---|")
    for benchmark, case, shape in cases():
        call, copies = prepare(torch, benchmark, shape)
        us = clock.cold(call)
        sustained, load = clock.sustained(call, copies, sensor)
        record = {
            "benchmark": benchmark, "case": case, "library": "torch", "us": us, "graph_us": sustained,
            **rates(shape, us), **load, **environment,
        }
        if options.json:
            with open(options.json, "a") as file:
                file.write(json.dumps(record) + "\n")
        print(row(record, ours.get((benchmark, case))), flush=True)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=31, help="calls of which the median counts")
    parser.add_argument("--json", metavar="FILE", help="append a line for each case")
    parser.add_argument("--beside", metavar="FILE", help="lines of `oxmla bench gemm --json`, to print beside")
    return parser.parse_args()


def cases():
    """Benchmark, case and `batch, m, n, k`, as `oxmla bench gemm` names them."""
    for k, n in WEIGHTS:
        for m in TOKENS:
            yield "projections", f"{m} × {k} → {n}", (1, m, n, k)
    for benchmark, (k, n) in [("absorb", ABSORB), ("expand", EXPAND)]:
        for heads in HEADS:
            for tokens in HEAD_TOKENS:
                yield benchmark, f"h {heads}, t {tokens}", (heads, tokens, n, k)


def prepare(torch, benchmark, shape):
    """The call, which takes its number, and how many weights take turns. Heads of a token lie side by side, as
    attention has them, and the rope part behind each is not touched."""
    batch, m, n, k = shape
    copies = math.ceil(ROTATED_BYTES / (2 * batch * n * k))

    def random(*sizes):
        return torch.randn(*sizes, dtype=torch.bfloat16, device="cuda").mul_(DEVIATION)

    if benchmark == "projections":
        x, weights, out = random(m, k), random(copies, n, k), random(m, n)
        return lambda number: torch.matmul(x, weights[number % copies].T, out=out), copies
    rope = ROPE if benchmark == "absorb" else 0
    x = random(m, batch, k + rope)[..., :k].transpose(0, 1)
    out = random(m, batch, n + rope)[..., :n].transpose(0, 1)
    # As a checkpoint has them: W_UK [nope, 512], W_UV [v, 512].
    weights = random(copies, batch, k, n) if rope else random(copies, batch, n, k).transpose(2, 3)
    return lambda number: torch.bmm(x, weights[number % copies], out=out), copies


def rates(shape, us):
    batch, m, n, k = shape
    flop, moved = 2 * batch * m * n * k, 2 * batch * (m * k + n * k + m * n)
    return {"tflops": flop / us * 1e-6, "gbps": moved / us * 1e-3}


def read(path):
    """Records by benchmark and case; the last of each counts."""
    with open(path) as file:
        records = [json.loads(line) for line in file]
    return {(record["benchmark"], record["case"]): record for record in records}


def row(peer, ours):
    times = [peer["us"], peer["graph_us"]]
    cells = [peer["benchmark"], peer["case"], *map("{:.2f}".format, times)]
    if ours is None:
        cells += ["-"] * 4
    else:
        own = [ours["us"], ours["graph_us"]]
        cells += [*map("{:.2f}".format, own), *(f"{a / b:.2f}" for a, b in zip(times, own))]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
