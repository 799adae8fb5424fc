"""The C interface of oxmla, by ctypes. Needs nothing but Python.

Tensors are whatever has `data_ptr()`, `shape`, `stride()`, `dtype` and `is_cuda` as PyTorch's have. Nothing is kept
alive here: tensors must stay until the stream has done the work.
"""

import ctypes
import os
from ctypes import POINTER, Structure, byref, c_char_p, c_float, c_int, c_int64, c_size_t, c_uint32, c_void_p

CPU, CURRENT_CONTEXT = 1, 2
MASK_NONE, MASK_CAUSAL = 1, 2
MEMORY_HOST, MEMORY_DEVICE = 1, 2
DTYPES = {"bfloat16": 1, "float16": 2, "float32": 3}


class Tensor(Structure):
    _fields_ = [
        ("data", c_void_p),
        ("shape", c_int64 * 4),
        ("strides", c_int64 * 4),
        ("rank", c_uint32),
        ("dtype", c_uint32),
    ]


class PlannerConfig(Structure):
    _fields_ = [
        ("h_q", c_uint32),
        ("h_k", c_uint32),
        ("dtype", c_uint32),
        ("max_s_q", c_uint32),
        ("max_batch", c_size_t),
        ("max_blocks_per_sequence", c_size_t),
        ("blocks_in_cache", c_size_t),
        ("piece_tokens", c_uint32),
        ("block_size", c_uint32),
    ]


class Step(Structure):
    _fields_ = [
        ("lengths", c_void_p),
        ("block_table", c_void_p),
        ("batch", c_size_t),
        ("max_blocks", c_size_t),
        ("table_stride", c_size_t),
        ("s_q", c_uint32),
        ("mask", c_uint32),
        ("memory", c_uint32),
        ("window", c_uint32),
    ]


class Decode(Structure):
    _fields_ = [
        ("q", Tensor),
        ("kv_cache", Tensor),
        ("out", Tensor),
        ("lse", Tensor),
        ("softmax_scale", c_float),
        ("softcap", c_float),
    ]


class Error(Exception):
    """A call that was refused or failed; `status` is an OxmlaStatus."""

    def __init__(self, status, text):
        super().__init__(f"{text} (status {status})")
        self.status, self.text = status, text


class Library:
    """`liboxmla.so` at `path`, or where OXMLA_LIBRARY says."""

    def __init__(self, path=None):
        path = path or os.environ.get("OXMLA_LIBRARY")
        if not path:
            raise FileNotFoundError("where is liboxmla.so? Say --library PATH, or set OXMLA_LIBRARY")
        self.calls = calls = ctypes.CDLL(os.path.abspath(path))
        calls.oxmla_version.restype = calls.oxmla_last_error.restype = c_char_p
        calls.oxmla_planner_create.argtypes = [c_uint32, POINTER(PlannerConfig), POINTER(c_void_p)]
        calls.oxmla_plan.argtypes = [c_void_p, POINTER(Step), c_void_p]
        calls.oxmla_decode.argtypes = [c_void_p, POINTER(Decode), c_void_p]
        calls.oxmla_explain.argtypes = [c_void_p, POINTER(c_char_p)]
        calls.oxmla_planner_destroy.argtypes = [c_void_p]
        calls.oxmla_planner_destroy.restype = None
        for name in ("planner_create", "plan", "decode", "explain"):
            getattr(calls, f"oxmla_{name}").restype = c_int

    @property
    def version(self):
        return self.calls.oxmla_version().decode()

    def check(self, status):
        if status != 0:
            raise Error(status, self.calls.oxmla_last_error().decode())


class Planner:
    """A planner for the GPU of the current context, or for the CPU. It shares out the work evenly if `piece_tokens` is
    0, or else splits every request after so many tokens, whatever else is in the batch."""

    def __init__(self, library, device, *, h_q, max_batch, max_blocks_per_sequence, blocks_in_cache,
                 h_k=1, max_s_q=1, dtype="bfloat16", piece_tokens=0,
                 block_size=64):
        self.library, self.handle = library, c_void_p()
        config = PlannerConfig(h_q, h_k, DTYPES[dtype], max_s_q, max_batch, max_blocks_per_sequence,
                               blocks_in_cache, piece_tokens, block_size)
        library.check(library.calls.oxmla_planner_create(device, byref(config), byref(self.handle)))

    def __del__(self):
        if self.handle:
            self.library.calls.oxmla_planner_destroy(self.handle)
            self.handle = c_void_p()

    def plan(self, lengths, block_table, s_q, causal, stream=None, window=0):
        """`lengths [batch]`, `block_table [batch, max_blocks]`, both int32, both on the host or on the GPU. A `window` of
        0 is none."""
        for name, tensor in (("lengths", lengths), ("block_table", block_table)):
            if dtype_name(tensor) != "int32" or tensor.is_cuda != lengths.is_cuda:
                raise TypeError(f"`{name}` must be int32, and where `lengths` is")
        (batch,), (rows, max_blocks) = lengths.shape, block_table.shape
        if rows != batch or lengths.stride() != (1,) or block_table.stride()[1] != 1:
            raise ValueError(f"`block_table` must be [{batch}, max_blocks], and rows and `lengths` without gaps")
        step = Step(lengths.data_ptr(), block_table.data_ptr(), batch, max_blocks, block_table.stride()[0],
                    s_q, MASK_CAUSAL if causal else MASK_NONE,
                    MEMORY_DEVICE if lengths.is_cuda else MEMORY_HOST, window)
        self.library.check(self.library.calls.oxmla_plan(self.handle, byref(step), stream))

    def decode(self, args, stream=None):
        """Gives one layer's attention to `stream`; `args` are made by `arguments`, once for many calls."""
        status = self.library.calls.oxmla_decode(self.handle, args, stream)
        if status != 0:
            self.library.check(status)

    def explain(self):
        """The latest plan in words."""
        text = c_char_p()
        self.library.check(self.library.calls.oxmla_explain(self.handle, byref(text)))
        return text.value.decode()


def arguments(q, kv_cache, out, lse, softmax_scale, softcap=0.0):
    """What `Planner.decode` takes."""
    return Decode(tensor(q), tensor(kv_cache), tensor(out), tensor(lse), softmax_scale, softcap)


def tensor(like):
    rank = len(like.shape)
    if rank > 4 or dtype_name(like) not in DTYPES:
        raise TypeError(f"a tensor has at most 4 axes and one of {', '.join(DTYPES)}")
    axes = c_int64 * 4
    return Tensor(like.data_ptr(), axes(*like.shape), axes(*like.stride()), rank, DTYPES[dtype_name(like)])


def dtype_name(tensor):
    return str(tensor.dtype).rpartition(".")[2]
