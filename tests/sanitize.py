#!/usr/bin/env python3
"""The GPU suite under compute-sanitizer: small cases, one run for each of its tools, and a summary.

    python3 tests/sanitize.py --suite target/release/gpu-suite --json docs/gpu/sanitizer-h100.json

Needs an NVIDIA GPU that the kernels run on, compute-sanitizer, Python 3.8, and the suite's program; no Rust.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOOLS = ["memcheck", "racecheck", "initcheck", "synccheck"]
TOOLKIT = "/usr/local/cuda/bin"
# Seconds for a case or a check, which by itself takes a few at most.
CASE_LIMIT = 3000
# Of each tool, so many findings go into the summary.
SHOWN = 20
# `ERROR SUMMARY: 3 errors`; racecheck: `RACECHECK SUMMARY: 4 hazards displayed (1 error, 3 warnings)`.
ERRORS = re.compile(r"SUMMARY: (\d+) errors?|\((\d+) errors?, \d+ warnings?\)")
WARNINGS = re.compile(r"\(\d+ errors?, (\d+) warnings?\)")
FINDING = re.compile(
    r"^=+ ((?:Error|Warning|Invalid|Uninitialized|Barrier|Divergent|Program hit|Out-of-range).*?)\s*$"
    # Where, or the other access of a race.
    r"(?:\n=+ {2,}((?:at|and) .*?)(?: \[\d+ hazards\])?\s*$)?",
    re.M,
)
# Where a file is on this machine says nothing: its name stays.
DIRECTORIES = re.compile(r"(?:/[^/\s:\]]+)+/")


def main():
    args = arguments()
    sanitizer = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path=TOOLKIT)
    if sanitizer is None:
        sys.exit(f"error: compute-sanitizer is neither on the PATH nor in {TOOLKIT}")
    if not Path(args.suite).is_file():
        sys.exit(f"error: --suite must be the program gpu-suite, but there is no {args.suite}")
    runs = [run(sanitizer, tool, args) for tool in args.tools]
    summary = {
        "commit": args.commit,
        "device": next((r["device"] for r in runs if r["device"]), None),
        "cuda": next((r["cuda"] for r in runs if r["cuda"]), None),
        "sanitizer": version(sanitizer),
        "suite": args.options,
        "passed": all(r["passed"] for r in runs),
        "runs": [{k: v for k, v in r.items() if k not in ("device", "cuda")} for r in runs],
    }
    text = json.dumps(summary, indent=2) + "\n"
    if args.json:
        Path(args.json).write_text(text)
    print("passed" if summary["passed"] else "FAILED")
    return 0 if summary["passed"] else 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", required=True, help="the program gpu-suite")
    parser.add_argument("--tools", default=",".join(TOOLS), type=tools, help="which, separated by commas")
    parser.add_argument("--json", help="write the summary here")
    parser.add_argument("--commit", default="", help="commit that is tested, for the summary")
    parser.add_argument("--limit", type=int, default=3600, help="seconds for each tool")
    parser.add_argument(
        "options", nargs="*", default=["--small"], help="for gpu-suite, behind --; without any: --small"
    )
    return parser.parse_args()


def tools(text):
    names = text.split(",")
    unknown = [name for name in names if name not in TOOLS]
    if unknown:
        raise argparse.ArgumentTypeError(f"must be of {', '.join(TOOLS)}, but has {', '.join(unknown)}")
    return names


def run(sanitizer, tool, args):
    """One run of the suite: what the suite says, and what the tool says."""
    with tempfile.TemporaryDirectory() as directory:
        log, report = Path(directory, "log"), Path(directory, "report.json")
        command = [sanitizer, "--tool", tool, "--print-limit", "1000", "--log-file", str(log)]
        command += [str(Path(args.suite).resolve()), "--json", str(report), "--time-limit", str(CASE_LIMIT), *args.options]
        print(f"── {tool}", flush=True)
        start = time.monotonic()
        try:
            status = subprocess.run(command, timeout=args.limit).returncode
        except subprocess.TimeoutExpired:
            status = None
        seconds = round(time.monotonic() - start, 1)
        text = log.read_text(errors="replace") if log.exists() else ""
        suite = json.loads(report.read_text()) if report.exists() else {}
    errors, warnings = count(ERRORS, text), count(WARNINGS, text) or 0
    passed = bool(suite.get("passed")) and status == 0 and errors == 0 and warnings == 0
    print(f"{tool}: errors {errors}, warnings {warnings}, {seconds} s", flush=True)
    return {
        "tool": tool,
        "passed": passed,
        "errors": errors,
        "warnings": warnings,
        "suite_passed": suite.get("passed"),
        "cases": suite.get("cases"),
        "failures": [DIRECTORIES.sub("", f["reason"]) for f in suite.get("failures", [])][:SHOWN],
        "seconds": seconds,
        "exit": "timed out" if status is None else status,
        "findings": findings(text),
        "device": suite.get("device"),
        "cuda": suite.get("cuda"),
    }


def count(pattern, text):
    """The number in the last summary; `None` if there is none, which is no good sign."""
    found = pattern.findall(text)
    return int("".join(found[-1])) if found else None


def findings(text):
    """First lines of what was found, without process, host frames and directories; each once."""
    found = (" ".join(lines).strip() for lines in FINDING.findall(text))
    return list(dict.fromkeys(DIRECTORIES.sub("", line) for line in found))[:SHOWN]


def version(sanitizer):
    """`Version 2025.3.0.0`, say."""
    said = subprocess.run([sanitizer, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"Version \S+", said)
    return found.group() if found else None


if __name__ == "__main__":
    sys.exit(main())
