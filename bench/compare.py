#!/usr/bin/env python3
"""Times oxmla beside the C++ libraries that are installed: the same tensors, the same clock, one process.

    cargo build --release -p oxmla-ffi
    python3 bench/compare.py --library target/release/liboxmla.so --commit $(git rev-parse --short=12 HEAD) --json out.jsonl

Needs PyTorch and a Hopper GPU, nothing else; libraries that are missing are named and left out. Every result is held
against attention in float64 first. The exit code is 3 if one of oxmla is past its tolerance.
"""

import argparse
import json
import shlex
import sys

import torch

import machine
import oxmla
from clock import Clock
from contenders import Oxmla, installed_peers
from workload import TABLE, Agreement, Case, Workload

METHODS = {"e2e_us": "e2e", "ev_us": "ev", "sustained_us": "sust"}
# What is checked where there is no GPU, and on how many bytes of caches.
CPU_CASES, CPU_ROTATED_BYTES = ["b2_sq2_h16_sk130_causal", "b1_sq1_h4_sk64"], 500_000


def main():
    options = parse_options()
    ours, (peers, missing) = Oxmla(oxmla.Library(options.library)), installed_peers()
    if options.cpu:
        sys.exit(check_on_cpu(ours, options.case or [Case.parse(name) for name in CPU_CASES]))
    for name, reason in missing.items():
        print(f"{name} is left out: {reason}")
    bench = Bench(options, [ours, *peers])
    for case in options.case or [Case.parse(name) for name in TABLE]:
        bench.measure(case)
    print("\n" + table(bench.records, [contender.name for contender in bench.contenders]))
    sys.exit(0 if bench.good else 3)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--library", help="liboxmla.so; else the environment's OXMLA_LIBRARY")
    parser.add_argument("--case", action="append", type=Case.parse, metavar="NAME",
                        help="such as b128_sq2_h128_sk4096_causal; may be repeated; else the peers' table")
    parser.add_argument("--repeat", type=int, default=15, help="calls of which the median counts")
    parser.add_argument("--seed", type=int, default=0, help="of the tensors")
    parser.add_argument("--json", metavar="FILE", help="append a line for each case and library")
    parser.add_argument("--commit", help="what the library was built from, for the record")
    parser.add_argument("--cpu", action="store_true", help="only check oxmla, on the CPU")
    return parser.parse_args()


class Bench:
    """One run: what it is taken on, who takes part, and what came out."""

    def __init__(self, options, contenders):
        torch.manual_seed(options.seed)
        self.options, self.contenders, self.records, self.good = options, contenders, [], True
        self.sensor, self.clock = machine.Sensor(), Clock(options.repeat)
        self.ceilings = machine.ceilings()
        self.environment = {
            **machine.describe(self.sensor), **self.ceilings,
            "commit": options.commit, "command": shlex.join(["python3", *sys.argv]), "repeat": options.repeat,
            "seed": options.seed,
        }
        print(", ".join(f"{key} {show(value)}" for key, value in self.environment.items() if key != "command"))

    def measure(self, case):
        workload = Workload(case, "cuda")
        reference = workload.reference(0)
        for contender in self.contenders:
            try:
                record = self.best_form(contender, workload, reference)
            # Whatever a library dies of, the others are still to be measured.
            except Exception as error:
                record = {"error": f"{type(error).__name__}: {error}".partition("\n")[0]}
                self.good &= not isinstance(contender, Oxmla)
            record = {
                "name": case.name, "library": contender.name, "version": contender.version,
                "flop": case.flop, "bytes": case.bytes, "floor_us": self.floor_us(case),
                "caches": len(workload.caches), **record, **self.environment,
            }
            self.keep(record)

    def best_form(self, contender, workload, reference):
        """Times of the form that is fastest between events."""
        forms = []
        for form, call in contender.prepare(workload).items():
            agreement = Agreement.of(call(0), reference)
            if isinstance(contender, Oxmla):
                self.good &= agreement.good
            forms.append((self.clock.cold(call), form, call, agreement))
        ev, form, call, agreement = min(forms, key=lambda found: found[0])
        sustained, load = self.clock.sustained(call, len(workload.caches), self.sensor)
        return {
            "form": form, "e2e_us": self.clock.end_to_end(call), "ev_us": ev, "sustained_us": sustained, **load,
            "share_of_tolerance": agreement.worst, "good": agreement.good,
            "plan": getattr(contender, "plan", None),
        }

    def floor_us(self, case):
        """No call of the run can be faster: the larger of the times for its bytes and its FLOP."""
        by_bytes = case.bytes / self.ceilings["copy_gbps"] * 1e-3
        return max(by_bytes, case.flop / self.ceilings["gemm_tflops"] * 1e-6)

    def keep(self, record):
        self.records.append(record)
        if self.options.json:
            with open(self.options.json, "a") as file:
                file.write(json.dumps(record) + "\n")
        times = ", ".join(f"{name} {record[key]:.1f}" for key, name in METHODS.items() if key in record)
        verdict = record.get("error") or f"{times} us; {'good' if record['good'] else 'PAST THE TOLERANCE'}"
        form = f" ({record['form']})" if record.get("form") else ""
        print(f"{record['name']} {record['library']}{form}: {verdict}", flush=True)


def check_on_cpu(ours, cases):
    """Whether oxmla agrees with the reference, on the CPU; the exit code."""
    good = True
    for case in cases:
        workload = Workload(case, "cpu", CPU_ROTATED_BYTES)
        call = ours.prepare(workload)[""]
        for number in range(len(workload.caches)):
            agreement = Agreement.of(call(number), workload.reference(number))
            good &= agreement.good
            verdict = "good" if agreement.good else "PAST THE TOLERANCE"
            print(f"{case.name}, cache {number}: {verdict}, {agreement.worst:.0%} of the tolerance")
    return 0 if good else 3


def table(records, libraries):
    """Markdown: a row for each configuration; for each way to time, a column for each library, in microseconds, and
    the ratio of the first to the best of the others."""
    heads = [f"{method}: {head}" for method in METHODS.values() for head in [*libraries, "ratio"]]
    lines = [line(["configuration", *heads, "floor"]), line(["---"] * (len(heads) + 2))]
    for name in dict.fromkeys(record["name"] for record in records):
        row = {record["library"]: record for record in records if record["name"] == name}
        cells = [name]
        for method in METHODS:
            times = [row[library].get(method) for library in libraries]
            others = [time for time in times[1:] if time is not None]
            ratio = f"{times[0] / min(others):.2f}" if times[0] is not None and others else "-"
            cells += [*map(show, times), ratio]
        lines.append(line([*cells, show(row[libraries[0]]["floor_us"])]))
    return "\n".join(lines)


def line(cells):
    return "| " + " | ".join(cells) + " |"


def show(value):
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
