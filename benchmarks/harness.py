"""What every benchmark shares: turns A B A B, medians with spread, peak memory, the machine.

`python -m benchmarks.NAME` writes results/NAME.json; with --quick it runs the smallest case
for its plumbing and keeps nothing. These machines are shared and noisy: ratios of medians
from one run are meant to be quoted, absolute times are not.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("tensorflow", "keras", "numpy", "jax", "torch", "timm", "onnxruntime", "openvino",
            "ai-edge-litert")


def arguments(description, **flags):
    """Parsed command line: --quick, and `flags` (name -> default)."""
    parser = argparse.ArgumentParser(description=description.strip().splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the smallest case, not kept")
    for name, default in flags.items():
        parser.add_argument(f"--{name}", type=type(default), default=default,
                            help=argparse.SUPPRESS)
    return parser.parse_args()


def interleaved(cases, rounds, warmup=1):
    """Seconds of each of `cases` (name -> callable), round by round in turn: name -> list."""
    clocks = interleaved_clocks(cases, rounds, warmup)
    return {name: seconds["wall"] for name, seconds in clocks.items()}


def interleaved_clocks(cases, rounds, warmup=1):
    """As `interleaved`, on two clocks: name -> {"wall": list, "cpu": list}.

    The processor's seconds, of all threads, hold still while a machine is shared.
    """
    seconds = {name: {"wall": [], "cpu": []} for name in cases}
    for number in range(warmup + rounds):
        for name, call in cases.items():
            started, cpu = time.perf_counter(), time.process_time()
            call()
            if number >= warmup:
                seconds[name]["wall"].append(time.perf_counter() - started)
                seconds[name]["cpu"].append(time.process_time() - cpu)
    return seconds


def spread(values):
    """Median, least and greatest of some numbers."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def matrix_rate(side):
    """GFLOP/s of a float32 matrix product, the best of a few: the rate of every floor."""
    import numpy as np

    a = np.ones((side, side), np.float32)
    seconds = interleaved({"product": lambda: a @ a}, rounds=5, warmup=0)["product"]
    return 2 * side**3 / min(seconds) / 1e9


def ratio(numerators, denominators):
    """Median of the ratios pair by pair: it holds when the machine's speed drifts."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def process(words, environment=None):
    """Runs `python WORDS`; its output, wall seconds and peak resident memory in MiB.

    A child's peak is never below its parent's when it starts: call this from a process that
    has loaded nothing large. Of a process with children it is the largest one's.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=errors,
                                 text=True, env={**os.environ, **(environment or {})})
        with child.stdout:
            output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(words)} ended with code {child.returncode}: "
                               f"{errors.read()[-2000:]}")
    return {"output": output, "seconds": time.monotonic() - started,
            "peak_mib": usage.ru_maxrss / 1024}


class Child:
    """A process of `python WORDS` that answers every line it gets with `answer JSON`."""

    def __init__(self, words, environment=None):
        self._process = subprocess.Popen(
            [sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env={**os.environ, **(environment or {})})

    def ask(self, question):
        """Its answer; a text when its process has ended, as one killed for memory does."""
        try:
            print(question, file=self._process.stdin, flush=True)
            for line in self._process.stdout:
                if line.startswith("answer "):
                    return json.loads(line.removeprefix("answer "))
        except BrokenPipeError:
            pass
        code = self._process.wait()
        return f"its process ended with code {code}" + (" (memory?)" if code == -9 else "")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


def version(package):
    """Its version, or None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def machine():
    """What ran it: processor, cores, memory, versions, commit, settings of threads."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES if version(name)},
        "commit": commit(),
        "threads": {name: value for name, value in sorted(os.environ.items())
                    if name.startswith(("TF_NUM_", "OMP_"))},
    }


def keep(name, result, quick):
    """Writes results/NAME.json with the machine's description, unless `quick`; returns `result`."""
    result = {"machine": machine(), **result}
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


def commit():
    """Of the checkout this file lies in, "-dirty" where files differ; "unknown" outside of one."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--exclude=*", "--abbrev=40", "--dirty"],
            cwd=RESULTS.parent, text=True, capture_output=True)
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def _processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
