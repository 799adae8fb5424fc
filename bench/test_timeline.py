import unittest

from timeline import call_spans


class CallSpans(unittest.TestCase):
    def test_calls_of_several_kernels(self):
        events = [
            ("flush", 0, 100), ("decode", 101, 110), ("combine", 108, 113),
            # The second kernel ends inside the first.
            ("combine", 310, 312), ("decode", 305, 320), ("flush", 200, 300),
        ]
        self.assertEqual(call_spans(events, {"flush"}), [12, 15])

    def test_what_is_not_seen_is_not_counted(self):
        self.assertEqual(call_spans([("flush", 0, 1), ("flush", 2, 3), ("decode", 4, 5)], {"flush"}), [1])
        self.assertEqual(call_spans([], {"flush"}), [])


if __name__ == "__main__":
    unittest.main()
