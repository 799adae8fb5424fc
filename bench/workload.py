"""Configurations, their tensors, and what attention over them gives."""

import math
import re
from dataclasses import dataclass

import torch

BLOCK, LATENT, ROPE = 64, 512, 64
WIDTH = LATENT + ROPE
# Of all caches together that calls back to back go through, so that none finds its own in the L2.
ROTATED_BYTES = 1_500_000_000
# Spread of queries and cached rows, as of normalised activations; more is cut off. Power depends on it.
DEVIATION, CUT = 0.1, 1.0
# The project's tolerances: an element is near enough by either of the first two.
ABSOLUTE, RELATIVE, COSINE = 8e-4, 2.01 / 128, 5e-6
LSE_ABSOLUTE, LSE_RELATIVE = 1e-6, 8.01 / 65536

# Compute-bound or on both roofs; memory-bound; latency.
TABLE = """
    b128_sq1_h128_sk4096 b128_sq1_h128_sk16384 b128_sq2_h128_sk4096_causal b128_sq2_h128_sk16384_causal
    b128_sq1_h16_sk1024 b128_sq1_h16_sk4096 b128_sq1_h16_sk16384
    b1_sq1_h128_sk1024 b1_sq1_h128_sk8192 b1_sq1_h128_sk32768 b1_sq1_h16_sk8192 b4_sq1_h128_sk4096
    b2_sq1_h16_sk1024
""".split()


@dataclass(frozen=True)
class Case:
    """One decode call of `batch` requests that have `tokens` cached tokens each."""

    batch: int
    s_q: int
    heads: int
    tokens: int
    causal: bool

    @classmethod
    def parse(cls, name):
        found = re.fullmatch(r"b(\d+)_sq(\d+)_h(\d+)_sk(\d+)(_causal)?", name)
        if not found or 0 in map(int, found.groups()[:4]):
            raise ValueError(f"{name!r} is no configuration such as b128_sq2_h128_sk4096_causal")
        case = cls(*map(int, found.groups()[:4]), bool(found[5]))
        if case.tokens < case.s_q:
            raise ValueError(f"{name!r} has query tokens that are not among the cached ones")
        return case

    @property
    def name(self):
        causal = "_causal" if self.causal else ""
        return f"b{self.batch}_sq{self.s_q}_h{self.heads}_sk{self.tokens}{causal}"

    @property
    def flop(self):
        """Of both products; the mask of the last few tokens not taken off."""
        return self.batch * self.s_q * self.heads * self.tokens * 2 * (WIDTH + LATENT)

    @property
    def bytes(self):
        """Each query, cached row and output once."""
        rows = self.s_q * self.heads * (WIDTH + LATENT)
        return self.batch * 2 * (rows + self.tokens * WIDTH)


class Workload:
    """The tensors of a case, the same for whoever attends to them."""

    def __init__(self, case, device, rotated_bytes=ROTATED_BYTES):
        self.case, self.scale = case, WIDTH**-0.5
        self.max_blocks = math.ceil(case.tokens / BLOCK)
        blocks = case.batch * self.max_blocks
        self.caches = normal(math.ceil(rotated_bytes / (blocks * BLOCK * WIDTH * 2)), blocks, BLOCK, 1, WIDTH,
                             device=device)
        self.q = normal(case.batch, case.s_q, case.heads, WIDTH, device=device)
        ids = torch.randperm(blocks, device=device).to(torch.int32)
        self.block_table = ids.reshape(case.batch, self.max_blocks)
        self.lengths = torch.full((case.batch,), case.tokens, dtype=torch.int32, device=device)

    def cache(self, call):
        """The cache of a call: they take turns."""
        return self.caches[call % len(self.caches)]

    def reference(self, call):
        """`out [batch, s_q, heads, 512]` and `lse [batch, heads, s_q]` in float64."""
        case, cache = self.case, self.cache(call)
        visible = case.tokens - torch.arange(case.s_q - 1, -1, -1, device=cache.device)
        hidden = torch.arange(case.tokens, device=cache.device) >= visible[:, None, None]
        outs, lses = [], []
        for q, ids in zip(self.q, self.block_table):
            rows = cache[ids.long()].reshape(-1, WIDTH)[: case.tokens].double()
            scores = q.double() @ rows.T * self.scale
            if case.causal:
                scores = scores.masked_fill(hidden, -math.inf)
            lse = scores.logsumexp(-1)
            outs.append((scores - lse[..., None]).exp() @ rows[:, :LATENT])
            lses.append(lse.T)
        return torch.stack(outs), torch.stack(lses)


def normal(*shape, device):
    return torch.randn(*shape, dtype=torch.bfloat16, device=device).mul_(DEVIATION).clamp_(-CUT, CUT)


@dataclass(frozen=True)
class Agreement:
    """How near a result is to the reference: in shares of the tolerance, so that 1 is just good enough."""

    out: float
    cosine: float
    lse: float

    @classmethod
    def of(cls, result, reference):
        """Of `out` and `lse`; that of an LSE that is None is perfect."""
        (out, lse), (true_out, true_lse) = result, reference
        out = out.double()
        norms = (out**2).sum() + (true_out**2).sum()
        cosine = 1 - 2 * (out * true_out).sum() / norms
        of_lse = 0.0 if lse is None else share(lse.double(), true_lse, LSE_ABSOLUTE, LSE_RELATIVE)
        return cls(share(out, true_out, ABSOLUTE, RELATIVE), cosine.item() / COSINE, of_lse)

    @property
    def worst(self):
        return max(self.out, self.cosine, self.lse)

    @property
    def good(self):
        # NaN is not.
        return self.out <= 1 and self.cosine <= 1 and self.lse <= 1


def share(actual, reference, absolute, relative):
    error = (actual - reference).abs()
    return torch.minimum(error / absolute, error / (relative * reference.abs())).nan_to_num(math.inf).max().item()
