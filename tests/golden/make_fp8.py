#!/usr/bin/env python3
"""Writes the golden files of `fp8/`: small FP8 caches with the rows that they were quantised from and give back.

    pip install numpy ml_dtypes safetensors [torch]
    python make_fp8.py [DIRECTORY]

Nothing here is translated from the Rust sources: `docs/fp8-cache.md` is followed. Where PyTorch is installed, its
`float8_e4m3fn`, its bf16 and its f32 arithmetic must give the same bytes before a file is written.

Tensors: `latent [tokens, 512 or 448]` and `rope [tokens, 64]`, bf16 by their bits; `cache [1, bytes of a block]`, the
tokens at the beginning of a block, 0xff where none is; `rows_bf16` and `rows_f16 [tokens, 576 or 512]`, what they are
dequantised to, by their bits, 0x7fff for every NaN. Metadata: `format` (`656`, `644` or `584`) and `power_of_two_scales`. Two
runs give the same file, but for the order in which safetensors writes the metadata keys.
"""

import sys
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

BLOCK, ROPE, LARGEST, LEAST = 64, 64, np.float32(448), np.float32(2.0**-80)


def inputs(rng, tokens, latent):
    """Ordinary rows, and behind them rows with everything that is not."""
    rows = rng.standard_normal((tokens, latent + ROPE)) * np.exp2(rng.integers(-6, 7, (tokens, 1)))
    rows[1, :latent] = 0.0
    rows[1, 3] = -0.0
    rows[2, :latent] *= 1e-30
    rows[3, [0, 5, 200]] = [np.inf, -np.inf, np.nan]
    rows[4, :64] = np.nan
    rows[5, 7] = 3e38
    rows[6, :latent] = np.exp2(rng.integers(-20, 20, latent)) * rng.choice([-1.0, 1.0], latent)
    # 448 · 2^k is where the power of two steps; these are it, and its neighbours in bf16.
    rows[7, 0], rows[7, 128], rows[7, 256] = 448.0, 450.0, 446.0
    rows[8, latent:] = np.linspace(-1e5, 1e5, ROPE)
    return rows.astype(ml_dtypes.bfloat16)


def tile_scales(tiles, power_of_two):
    """`tiles [tokens, tiles, elements]`, f32, NaN for infinities."""
    amax = np.nan_to_num(np.abs(tiles), nan=0.0).max(axis=-1)
    scales = np.maximum(amax / LARGEST, LEAST)
    if power_of_two:
        fraction, exponent = np.frexp(scales)
        scales = np.ldexp(np.float32(1), exponent - (fraction == 0.5)).astype(np.float32)
    return scales


def quantise(latent, tile, power_of_two):
    """e4m3 codes `[tokens, elements]`, and f32 scales `[tokens, tiles]`."""
    x = latent.astype(np.float32)
    x = np.where(np.isinf(x), np.float32(np.nan), x)
    tiles = x.reshape(len(x), -1, tile)
    scales = tile_scales(tiles, power_of_two)
    quotients = np.clip(tiles / scales[..., None], -LARGEST, LARGEST)
    codes = quotients.astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
    codes = np.where(np.isnan(quotients), np.uint8(0x7F), codes)
    torch_agrees(tiles, scales, codes)
    return codes.reshape(len(x), -1), scales


def dequantise(codes, scales, tile):
    values = codes.view(ml_dtypes.float8_e4m3fn).astype(np.float32).reshape(len(codes), -1, tile)
    return (values * scales[..., None]).reshape(len(codes), -1)


def torch_agrees(tiles, scales, codes):
    try:
        import torch
    except ImportError:
        return
    x, s = torch.from_numpy(tiles), torch.from_numpy(scales)
    theirs = (x / s.unsqueeze(-1)).clamp(-448.0, 448.0).to(torch.float8_e4m3fn).view(torch.uint8)
    theirs = torch.where(x.isnan(), torch.tensor(0x7F, dtype=torch.uint8), theirs)
    assert (theirs.numpy() == codes).all(), "PyTorch quantises in another way"
    values = theirs.view(torch.float8_e4m3fn).float() * s.unsqueeze(-1)
    ours = dequantise(codes.reshape(len(codes), -1), scales, tiles.shape[-1])
    assert np.array_equal(values.reshape(len(codes), -1).numpy(), ours, equal_nan=True)


def cache_656(codes, scales, rope, size=BLOCK):
    """Token by token: codes, f32 scales, rope."""
    block = np.full((size, 656), 0xFF, np.uint8)
    parts = [codes, scales.astype("<f4").view(np.uint8), rope.view(np.uint8)]
    block[: len(codes)] = np.concatenate(parts, axis=1)
    return block.reshape(1, -1)


def cache_584(codes, scales, rope, size=BLOCK):
    """Codes and rope of all tokens, then exponents of the scales and an empty byte of all tokens."""
    tokens = len(codes)
    elements, exponents = np.full((size, 576), 0xFF, np.uint8), np.full((size, 8), 0xFF, np.uint8)
    elements[:tokens] = np.concatenate([codes, rope.view(np.uint8)], axis=1)
    exponents[:tokens, :7] = (np.log2(scales) + 127).astype(np.uint8)
    exponents[:tokens, 7] = 0
    return np.concatenate([elements.reshape(-1), exponents.reshape(-1)]).reshape(1, -1)


def cache_644(codes, scales, rope, size=BLOCK):
    """Codes of all tokens, then rope of all tokens, in its token's scale, then f32 scales of all tokens."""
    block = []
    for part in [codes, rope.view(np.uint8), scales.astype("<f4").view(np.uint8)]:
        plane = np.full((size, part.shape[1]), 0xFF, np.uint8)
        plane[: len(part)] = part
        block.append(plane.reshape(-1))
    return np.concatenate(block).reshape(1, -1)


def bits(rows, dtype):
    with np.errstate(over="ignore"):
        narrow = rows.astype(dtype)
    return np.where(np.isnan(rows), np.uint16(0x7FFF), narrow.view(np.uint16)).view(np.int16)


def make(path, seed, tokens, latent, tile, power_of_two, lay_out):
    rows = inputs(np.random.default_rng(seed), tokens, latent)
    is_644 = lay_out is cache_644
    codes, scales = quantise(rows[:, :latent], tile, power_of_two or is_644 or latent == 448)
    rope = np.ascontiguousarray(rows[:, latent:])
    unit = scales if is_644 else np.float32(1)
    stored = (rope.astype(np.float32) / unit).astype(ml_dtypes.bfloat16)
    with np.errstate(invalid="ignore"):
        values = stored.astype(np.float32) * unit
        gathered = np.concatenate([dequantise(codes, scales, tile), values], axis=1)
    tensors = {
        "latent": np.ascontiguousarray(rows[:, :latent]).view(np.int16),
        "rope": rope.view(np.int16),
        "cache": lay_out(codes, scales, stored),
        "rows_bf16": bits(gathered, ml_dtypes.bfloat16),
        "rows_f16": bits(gathered, np.float16),
    }
    form = "644" if is_644 else "584" if latent == 448 else "656"
    metadata = {"format": form, "power_of_two_scales": str(power_of_two).lower()}
    save_file(tensors, path, metadata)


def main():
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "fp8")
    directory.mkdir(exist_ok=True)
    make(directory / "token656.safetensors", 1, 12, 512, 128, False, cache_656)
    make(directory / "token656_power_of_two.safetensors", 2, 10, 512, 128, True, cache_656)
    make(directory / "paged584.safetensors", 3, 12, 448, 64, False, cache_584)
    make(directory / "planar644.safetensors", 4, 12, 512, 512, False, cache_644)


if __name__ == "__main__":
    main()
