"""Three ways to time a call, the same for everybody."""

import math
import statistics
import time

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from timeline import call_spans

# Read and written before each cold call: ten times the L2, and 0.3 ms in which the host gets the call into the
# stream, so that no time is the host's.
FLUSH_BYTES = 512 << 20
WARM_UP = 3
# How long replays go on: long enough for the power limit to act.
SUSTAINED_US = 200_000.0
# Calls in a graph, at least, so that the gap between two graphs does not matter.
CALLS_PER_GRAPH = 8


class Clock:
    def __init__(self, repeat):
        self.repeat = repeat
        self.flushed = torch.zeros(FLUSH_BYTES // 8, dtype=torch.int64, device="cuda")
        # What the profiler calls the kernel, so that it is found between the calls.
        self.flush_kernels = {name for name, _, _ in profiled(self.flush)}

    def flush(self):
        """Inverts bits, which nobody's attention does."""
        torch.bitwise_not(self.flushed, out=self.flushed)

    def cold(self, call):
        """Microseconds between two events around a call that finds nothing in the L2: the median."""
        times = []
        for number in range(WARM_UP + self.repeat):
            self.flush()
            times.append(between_events(lambda: call(number)))
        return statistics.median(times[WARM_UP:])

    def end_to_end(self, call):
        """Microseconds from the start of the first thing that the GPU does for such a call to the end of the last,
        as the profiler sees it: the median."""
        calls = WARM_UP + self.repeat

        def work():
            for number in range(calls):
                self.flush()
                call(number)
                torch.cuda.synchronize()

        spans = call_spans(profiled(work), self.flush_kernels)
        if len(spans) != calls:
            raise RuntimeError(f"the profiler saw {len(spans)} calls of {calls}")
        return statistics.median(spans[WARM_UP:])

    def sustained(self, call, caches, sensor):
        """Microseconds per call when graphs of calls are replayed back to back, and what `sensor` reads meanwhile.

        The capture is in PyTorch's default mode, the strictest: any call of the process that cannot be captured, or
        that might wait, ends it.
        """
        calls = math.ceil(CALLS_PER_GRAPH / caches) * caches
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for number in range(calls):
                call(number)
        between_events(graph.replay)
        replays = math.ceil(SUSTAINED_US / between_events(graph.replay))
        start, end = events()
        start.record()
        for _ in range(replays):
            graph.replay()
        end.record()
        # Near their end, clocks have settled.
        time.sleep(0.8e-6 * SUSTAINED_US)
        load = sensor.load()
        end.synchronize()
        return start.elapsed_time(end) * 1e3 / (replays * calls), load


def profiled(work):
    """What the GPU does for `work`: names, starts and ends in microseconds."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        work()
        torch.cuda.synchronize()
    return [
        (event.name, event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False)
    ]


def between_events(work):
    """Microseconds that the current stream takes for `work`. Waits for it."""
    start, end = events()
    start.record()
    work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) * 1e3


def events():
    return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
