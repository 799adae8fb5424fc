"""The card: what it is, what it can do, and what it draws."""

import ctypes
import statistics
import time

import torch

from clock import Clock, between_events, events

COPY_BYTES = 2 << 30
COPIES = 10
GEMM_SIZE = 8192
# The card rests before each of the cool products, so that power does not limit them.
REST_S, COOL_PRODUCTS = 0.2, 5
# Products back to back for this long; the second half counts.
SUSTAINED_US = 1_000_000.0


def describe(sensor):
    """What the times were taken on."""
    properties = torch.cuda.get_device_properties("cuda")
    return {
        "device": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        **sensor.limits(),
    }


def ceilings():
    """What the card reaches in this run: a copy, 8192-cubed bf16 products, and two events with nothing between."""
    return {
        "copy_gbps": copy_gbps(),
        **gemm_tflops(),
        "empty_us": Clock(repeat=15).cold(lambda number: None),
    }


def copy_gbps():
    """10^9 bytes per second that a copy inside the memory reads and writes: the best of several."""
    source = torch.zeros(COPY_BYTES // 8, dtype=torch.int64, device="cuda")
    target = torch.empty_like(source)
    best = min(between_events(lambda: target.copy_(source)) for _ in range(COPIES))
    return 2 * COPY_BYTES / best * 1e-3


def gemm_tflops():
    """10^12 FLOP per second of a large product of random matrices, cool and under the power limit."""
    a, b = (torch.randn(GEMM_SIZE, GEMM_SIZE, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    out = torch.empty_like(a)
    multiply = lambda: torch.mm(a, b, out=out)
    for _ in range(3):
        between_events(multiply)
    cool = []
    for _ in range(COOL_PRODUCTS):
        time.sleep(REST_S)
        cool.append(between_events(multiply))
    once = statistics.median(cool)
    half = max(1, round(SUSTAINED_US / once / 2))
    start, end = events()
    for _ in range(half):
        multiply()
    start.record()
    for _ in range(half):
        multiply()
    end.record()
    end.synchronize()
    sustained = start.elapsed_time(end) * 1e3 / half
    rate = lambda us: 2 * GEMM_SIZE**3 / us * 1e-6
    return {"gemm_tflops": rate(once), "gemm_sustained_tflops": rate(sustained)}


class Sensor:
    """NVIDIA's management library, or nothing where it is not to be had."""

    SM_CLOCK, MEMORY_CLOCK = 1, 2

    def __init__(self):
        self.library = self.card = None
        try:
            library, card = ctypes.CDLL("libnvidia-ml.so.1"), ctypes.c_void_p()
            uuid = f"GPU-{torch.cuda.get_device_properties('cuda').uuid}".encode()
            if library.nvmlInit_v2() == 0 and library.nvmlDeviceGetHandleByUUID(uuid, ctypes.byref(card)) == 0:
                self.library, self.card = library, card
        except (OSError, AttributeError):
            pass

    def limits(self):
        """Driver, highest clocks and power limit."""
        return {
            "driver": self.driver(),
            "sm_clock_max_mhz": self.number("nvmlDeviceGetMaxClockInfo", self.SM_CLOCK),
            "memory_clock_mhz": self.number("nvmlDeviceGetMaxClockInfo", self.MEMORY_CLOCK),
            "power_limit_w": self.watts("nvmlDeviceGetEnforcedPowerLimit"),
        }

    def load(self):
        """Clock and power now."""
        return {
            "sm_clock_mhz": self.number("nvmlDeviceGetClockInfo", self.SM_CLOCK),
            "power_w": self.watts("nvmlDeviceGetPowerUsage"),
        }

    def driver(self):
        text = ctypes.create_string_buffer(80)
        if self.library is None or self.library.nvmlSystemGetDriverVersion(text, len(text)) != 0:
            return None
        return text.value.decode()

    def watts(self, function):
        milliwatts = self.number(function)
        return None if milliwatts is None else milliwatts / 1000

    def number(self, function, *arguments):
        value = ctypes.c_uint()
        if self.library is None or getattr(self.library, function)(self.card, *arguments, ctypes.byref(value)) != 0:
            return None
        return value.value
