"""The C interface from Python, on the CPU. OXMLA_LIBRARY says where the library is."""

import math
import struct
import unittest
from array import array

import oxmla


class Tensor:
    """Contiguous memory with the face of a PyTorch tensor."""

    is_cuda = False

    def __init__(self, dtype, shape, values):
        self.dtype, self.shape, self.values = dtype, shape, values

    def data_ptr(self):
        return self.values.buffer_info()[0]

    def stride(self):
        return tuple(math.prod(self.shape[axis + 1:]) for axis in range(len(self.shape)))


def bf16(values):
    """Bits of values that bf16 has."""
    return array("H", (struct.unpack("<I", struct.pack("<f", value))[0] >> 16 for value in values))


def floats(bits):
    return [struct.unpack("<f", struct.pack("<I", value << 16))[0] for value in bits]


class OnCpu(unittest.TestCase):
    def setUp(self):
        self.planner = oxmla.Planner(oxmla.Library(), oxmla.CPU, h_q=1, max_batch=1, max_blocks_per_sequence=1,
                                     blocks_in_cache=2)
        self.lengths = Tensor("int32", (1,), array("i", [2]))
        self.table = Tensor("int32", (1, 1), array("i", [1]))

    def test_decode(self):
        """Two tokens whose scores differ by ln 3, in the second block."""
        scale = math.log(3) / 576
        q = Tensor("bfloat16", (1, 1, 1, 576), bf16([1.0] * 576))
        rows = [math.nan] * (64 * 576) + [0.0] * 576 + [1.0] * 576 + [math.nan] * (62 * 576)
        cache = Tensor("bfloat16", (2, 64, 1, 576), bf16(rows))
        out = Tensor("bfloat16", (1, 1, 1, 512), bf16([7.0] * 512))
        lse = Tensor("float32", (1, 1, 1), array("f", [7.0]))
        self.planner.plan(self.lengths, self.table, 1, causal=True)
        self.assertIn("1 requests", self.planner.explain())
        self.planner.decode(oxmla.arguments(q, cache, out, lse, scale))
        self.assertEqual(floats(out.values), [0.75] * 512)
        self.assertAlmostEqual(lse.values[0], math.log(4), places=5)

    def test_refusals(self):
        self.lengths.values[0] = 65
        with self.assertRaises(oxmla.Error) as refused:
            self.planner.plan(self.lengths, self.table, 1, causal=True)
        text = "request 0 has 65 tokens, but its 1 blocks in the table hold fewer"
        self.assertEqual((refused.exception.status, refused.exception.text), (2, text))
        with self.assertRaises(TypeError):
            self.planner.plan(self.lengths, Tensor("int64", (1, 1), array("q", [1])), 1, causal=True)


if __name__ == "__main__":
    unittest.main()
