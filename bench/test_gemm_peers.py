import json
import os
import tempfile
import unittest

import gemm_peers


class Cases(unittest.TestCase):
    def test_names_are_those_of_our_records(self):
        cases = {(benchmark, case): shape for benchmark, case, shape in gemm_peers.cases()}
        self.assertEqual(cases["projections", "1 × 7168 → 1536"], (1, 1, 1536, 7168))
        self.assertEqual(cases["absorb", "h 16, t 512"], (16, 512, 512, 128))
        self.assertEqual(cases["expand", "h 128, t 1"], (128, 1, 128, 512))

    def test_the_last_record_counts_and_ratios_are_of_times(self):
        records = [{"benchmark": "a", "case": "b", "us": us, "graph_us": 4.0} for us in (1.0, 5.0)]
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "ours.jsonl")
            with open(path, "w") as file:
                file.writelines(json.dumps(record) + "\n" for record in records)
            ours = gemm_peers.read(path)["a", "b"]
        peer = {"benchmark": "a", "case": "b", "us": 10.0, "graph_us": 2.0}
        self.assertEqual(gemm_peers.row(peer, ours), "| a | b | 10.00 | 2.00 | 5.00 | 4.00 | 2.00 | 0.50 |")
        self.assertEqual(gemm_peers.row(peer, None), "| a | b | 10.00 | 2.00 | - | - | - | - |")

    def test_rates(self):
        self.assertEqual(gemm_peers.rates((1, 10, 100, 1000), 2.0), {"tflops": 1.0, "gbps": 111.0})


if __name__ == "__main__":
    unittest.main()
