"""Whoever can attend to a workload: oxmla, and the C++ libraries that are installed.

Each has `prepare(workload)`, which does what is done once per step and not measured (plans, schedules), and gives back
a call for each form that the library can be called in, by its name. A call takes a number, attends to the cache whose
turn it is, on the current stream, and returns `out [batch, s_q, heads, 512]`, and `lse [batch, heads, s_q]` or None.
"""

import importlib
import importlib.metadata

import torch

import oxmla
from workload import BLOCK, LATENT, ROPE


class Oxmla:
    name = "oxmla"

    def __init__(self, library):
        self.library, self.version = library, library.version

    def prepare(self, workload):
        case, q = workload.case, workload.q
        planner = oxmla.Planner(
            self.library, oxmla.CURRENT_CONTEXT if q.is_cuda else oxmla.CPU, h_q=case.heads,
            max_batch=case.batch, max_s_q=case.s_q, max_blocks_per_sequence=workload.max_blocks,
            blocks_in_cache=workload.caches.shape[1])
        planner.plan(workload.lengths, workload.block_table, case.s_q, case.causal, stream(q))
        self.plan = planner.explain()
        out = torch.empty(*q.shape[:3], LATENT, dtype=q.dtype, device=q.device)
        lse = torch.empty(case.batch, case.heads, case.s_q, dtype=torch.float32, device=q.device)
        arguments = [oxmla.arguments(q, cache, out, lse, workload.scale) for cache in workload.caches]

        def call(number):
            planner.decode(arguments[number % len(arguments)], stream(q))
            return out, lse

        return {"": call}


def stream(tensor):
    return torch.cuda.current_stream().cuda_stream if tensor.is_cuda else None


class Peer:
    """A library that may not be there: finding it is an ImportError or an OSError then."""

    module = package = None

    def __init__(self):
        self.library = importlib.import_module(self.module)
        self.version = version(self.package)


class FlashMla(Peer):
    name, module, package = "FlashMLA", "flash_mla", "flash_mla"

    def prepare(self, workload):
        case = workload.case
        # In newer versions the first call fills the metadata, and the later ones use it.
        metadata, splits = self.library.get_mla_metadata(workload.lengths, case.s_q * case.heads, 1)

        def call(number):
            return self.library.flash_mla_with_kvcache(
                workload.q, workload.cache(number), workload.block_table, workload.lengths, LATENT, metadata,
                splits, softmax_scale=workload.scale, causal=case.causal)

        return {"": call}


class FlashAttention3(Peer):
    name, module, package = "FlashAttention-3", "flash_attn_interface", "flash_attn_3"

    def prepare(self, workload):
        q = workload.q
        starts = torch.arange(0, q.shape[0] + 1, dtype=torch.int32, device=q.device) * q.shape[1]
        return {
            "4-d q": self.form(workload, q, None, 0),
            "3-d q": self.form(workload, q.flatten(0, 1), starts, 0),
            "one split": self.form(workload, q, None, 1),
        }

    def form(self, workload, q, starts, splits):
        """A call with queries in one tensor axis per request, or one after the other (`starts` says where)."""
        case = workload.case
        schedule = self.library.get_scheduler_metadata(
            case.batch, case.s_q, workload.max_blocks * BLOCK, case.heads, 1, ROPE, workload.lengths,
            qkv_dtype=q.dtype, headdim_v=LATENT, cu_seqlens_q=starts, page_size=BLOCK, causal=case.causal,
            num_splits=splits)

        def call(number):
            cache = workload.cache(number)
            out = self.library.flash_attn_with_kvcache(
                q[..., LATENT:], cache[..., LATENT:], cache[..., :LATENT], qv=q[..., :LATENT],
                cache_seqlens=workload.lengths, page_table=workload.block_table, cu_seqlens_q=starts,
                max_seqlen_q=case.s_q, softmax_scale=workload.scale, causal=case.causal,
                scheduler_metadata=schedule, num_splits=splits)
            return out.view(case.batch, case.s_q, case.heads, LATENT), None

        return call


class FlashInfer(Peer):
    name, module, package = "FlashInfer", "flashinfer.mla", "flashinfer-python"

    def prepare(self, workload):
        case, q = workload.case, workload.q.flatten(0, 1)
        latent, rope = q[..., :LATENT].contiguous(), q[..., LATENT:].contiguous()
        requests = torch.arange(0, case.batch + 1, dtype=torch.int32, device=q.device)
        scratch = torch.empty(128 << 20, dtype=torch.int8, device=q.device)
        wrapper = self.library.BatchMLAPagedAttentionWrapper(scratch, backend="fa3")
        wrapper.plan(requests * case.s_q, requests * workload.max_blocks, workload.block_table.flatten(),
                     workload.lengths, case.heads, LATENT, ROPE, BLOCK, case.causal, workload.scale, q.dtype,
                     q.dtype)
        out = torch.empty_like(latent)

        def call(number):
            cache = workload.cache(number).squeeze(2)
            wrapper.run(latent, rope, cache[..., :LATENT], cache[..., LATENT:], out=out)
            return out.view(case.batch, case.s_q, case.heads, LATENT), None

        return {"": call}


PEERS = (FlashMla, FlashAttention3, FlashInfer)


def installed_peers():
    """Those that are there, and for each of the others its name and why not."""
    peers, missing = [], {}
    for peer in PEERS:
        try:
            peers.append(peer())
        except (ImportError, OSError) as error:
            missing[peer.name] = str(error)
    return peers, missing


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
