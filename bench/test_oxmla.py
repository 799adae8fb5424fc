"""The C interface from Python, on the CPU. OXMLA_LIBRARY says where the library is."""

import math
import struct
import unittest
from array import array

import oxmla


class Tensor:
    """Memory with the face of a PyTorch tensor; contiguous if no strides are given."""

    is_cuda = False

    def __init__(self, dtype, shape, values, strides=None):
        self.dtype, self.shape, self.values = dtype, shape, values
        self.strides = strides or tuple(math.prod(shape[axis + 1:]) for axis in range(len(shape)))

    def data_ptr(self):
        return self.values.buffer_info()[0]

    def stride(self):
        return self.strides


def bf16(values):
    """Bits of values that bf16 has."""
    return array("H", (struct.unpack("<I", struct.pack("<f", value))[0] >> 16 for value in values))


def floats(bits):
    return [struct.unpack("<f", struct.pack("<I", value << 16))[0] for value in bits]


class OnCpu(unittest.TestCase):
    def setUp(self):
        self.planner = self.make_planner()
        self.lengths = Tensor("int32", (2,), array("i", [2, 0]))
        self.table = Tensor("int32", (2, 5), array("i", [1] + [-1] * 15), (8, 1))

    def make_planner(self, **options):
        # No two sizes are equal, so that none can stand in for another.
        return oxmla.Planner(oxmla.Library(), oxmla.CPU, h_q=4, h_k=1, max_s_q=3, max_batch=2,
                             max_blocks_per_sequence=5, blocks_in_cache=6, **options)

    def test_decode(self):
        """Two tokens in the second block; for the last query token of three, their scores differ by ln 3, and the one
        before sees the first of them alone. The other request is empty."""
        q = Tensor("bfloat16", (2, 3, 4, 576), bf16([1.0] * (2 * 3 * 4 * 576)))
        rows = [math.nan] * (64 * 576) + [0.0] * 576 + [1.0] * 576 + [math.nan] * (318 * 576)
        cache = Tensor("bfloat16", (6, 64, 1, 576), bf16(rows))
        out = Tensor("bfloat16", (2, 3, 4, 512), bf16([7.0] * (2 * 3 * 4 * 512)))
        lse = Tensor("float32", (2, 4, 3), array("f", [7.0] * (2 * 3 * 4)))
        self.planner.plan(self.lengths, self.table, 3, causal=True)
        self.assertIn("2 requests", self.planner.explain())
        self.planner.decode(oxmla.arguments(q, cache, out, lse, math.log(3) / 576))
        tokens = [0.0] * 2 * 4 * 512 + [0.75] * 4 * 512 + [0.0] * 3 * 4 * 512
        self.assertEqual(floats(out.values), tokens)
        for head in range(4):
            unseen, first, both = lse.values[3 * head:3 * head + 3]
            self.assertEqual(unseen, -math.inf)
            self.assertAlmostEqual(first, 0.0, places=6)
            self.assertAlmostEqual(both, math.log(4), places=6)
        self.assertEqual(list(lse.values[12:]), [-math.inf] * 12)

    def test_window_and_softcap(self):
        """Two query tokens that see one token each: the LSE is the score, capped."""
        q = Tensor("bfloat16", (2, 2, 4, 576), bf16([1.0] * (2 * 2 * 4 * 576)))
        rows = [math.nan] * (64 * 576) + [0.0] * 576 + [1.0] * 576 + [math.nan] * (318 * 576)
        cache = Tensor("bfloat16", (6, 64, 1, 576), bf16(rows))
        out = Tensor("bfloat16", (2, 2, 4, 512), bf16([7.0] * (2 * 2 * 4 * 512)))
        lse = Tensor("float32", (2, 4, 2), array("f", [7.0] * (2 * 2 * 4)))
        self.planner.plan(self.lengths, self.table, 2, causal=True, window=1)
        self.assertIn("window of 1 tokens", self.planner.explain())
        self.planner.decode(oxmla.arguments(q, cache, out, lse, 3 / 576, softcap=2.0))
        for head in range(4):
            self.assertAlmostEqual(lse.values[2 * head], 0.0, places=6)
            self.assertAlmostEqual(lse.values[2 * head + 1], 2 * math.tanh(1.5), places=5)

    def test_pieces(self):
        for tokens, words in ((0, "equal shares"), (128, "pieces of 128 tokens")):
            planner = self.make_planner(piece_tokens=tokens)
            planner.plan(self.lengths, self.table, 1, causal=True)
            self.assertIn(words, planner.explain())
        with self.assertRaises(oxmla.Error) as refused:
            self.make_planner(piece_tokens=96)
        self.assertIn("`piece_tokens`", refused.exception.text)

    def test_refusals(self):
        self.lengths.values[1] = 321
        with self.assertRaises(oxmla.Error) as refused:
            self.planner.plan(self.lengths, self.table, 1, causal=True)
        text = "request 1 has 321 tokens, but its 5 blocks in the table hold fewer"
        self.assertEqual((refused.exception.status, refused.exception.text), (2, text))
        with self.assertRaises(TypeError):
            self.planner.plan(self.lengths, Tensor("int64", (2, 1), array("q", [1, 1])), 1, causal=True)


if __name__ == "__main__":
    unittest.main()
