"""What every benchmark shares: interleaved runs, medians with spread, peak memory, the machine.

`python -m benchmarks.NAME` writes results/NAME.json; with --quick it runs the smallest case
and keeps nothing. Shared machines are noisy: quote ratios of medians from one run, not
absolute times.
"""

import argparse
import contextlib
import fcntl
import importlib.metadata
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from inception_tf.text import uncolored

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("tensorflow", "keras", "numpy", "jax", "torch", "timm", "onnxruntime", "openvino",
            "ai-edge-litert")
# Of one image through the released Inception-ResNet-v2 at 299x299 (tests/unit/test_nets_counts.py).
MULTIPLY_ADDS = 13_156_000_000


def arguments(description, **flags):
    """Parsed command line: --quick, and `flags` (name -> default)."""
    parser = argparse.ArgumentParser(description=description.strip().splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the smallest case, not kept")
    for name, default in flags.items():
        parser.add_argument(f"--{name}", type=type(default), default=default,
                            help=argparse.SUPPRESS)
    return parser.parse_args()


def clocked(call):
    """Seconds of a call: {"wall": ..., "cpu": of all threads, stable while a machine is shared}."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def interleaved(cases, rounds, warmup=1):
    """Times `cases` (name -> callable) in turn, round by round: name -> {"wall", "cpu": list}."""
    seconds = {name: {"wall": [], "cpu": []} for name in cases}
    for number in range(warmup + rounds):
        for name, call in cases.items():
            for clock, value in clocked(call).items():
                if number >= warmup:
                    seconds[name][clock].append(value)
    return seconds


def spread(values):
    """Median, minimum and maximum."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def matrix_rate(side):
    """GFLOP/s of a float32 matrix product, the best of five: the rate of every floor."""
    import numpy as np

    a = np.ones((side, side), np.float32)
    seconds = min(clocked(lambda: a @ a)["wall"] for _ in range(5))
    return 2 * side**3 / seconds / 1e9


def floor_rate(gflops, multiply_adds=MULTIPLY_ADDS):
    """Images per second if all their multiply-adds ran at the rate of a matrix product."""
    return 1e9 * gflops / (2 * multiply_adds)


def ratio(numerators, denominators):
    """Median of the pairwise ratios, in which a drift of the machine's speed cancels."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


@contextlib.contextmanager
def device_lock(alone):
    """Holds the accelerator: `alone` to measure, else beside others that compile or check."""
    path = Path(tempfile.gettempdir()) / f"inception_tf_benchmarks_{os.getuid()}.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def process(words, environment=None, limit_s=None):
    """Runs `python WORDS`; its output, wall seconds and peak resident memory in MiB.

    It and its children are killed after `limit_s` seconds. Its peak starts at its parent's: call
    this from a process that has loaded nothing large. With children it is that of the largest.

    Raises: RuntimeError, with the end of its standard error, when its exit code is not 0.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=errors,
                                 text=True, env={**os.environ, **(environment or {})},
                                 start_new_session=limit_s is not None)
        limit = threading.Timer(limit_s or threading.TIMEOUT_MAX,
                                lambda: os.killpg(child.pid, signal.SIGKILL))
        limit.daemon = True
        limit.start()
        with child.stdout:
            output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        limit.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        if limit_s and time.monotonic() - started >= limit_s:
            raise RuntimeError(f"{' '.join(words)} was stopped after {limit_s:g} s")
        if child.returncode:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(words)} ended with code {child.returncode}: "
                               f"{errors.read()[-2000:]}")
    return {"output": output, "seconds": time.monotonic() - started,
            "peak_mib": usage.ru_maxrss / 1024}


def call(module, function, *arguments):
    """Runs a function of benchmarks/MODULE.py in its own process; what it returned, as text."""
    code = (f"import sys; from benchmarks.{module} import {function}; "
            f"print({function}(*sys.argv[1:]))")
    return process(["-c", code, *map(str, arguments)])["output"].splitlines()[-1]


def peak_mib():
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Child:
    """A process of `python WORDS` that calls `answer_questions`; `error`: why it cannot."""

    def __init__(self, words, environment=None):
        self._process = subprocess.Popen(
            [sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env={**os.environ, **(environment or {})})
        self.error = self.ask("error")

    def ask(self, *question):
        """Its answer; a text if the process has ended, for example killed for memory."""
        try:
            print(json.dumps(question), file=self._process.stdin, flush=True)
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


def answer_questions(make):
    """The other side of Child, until standard input ends.

    make: gives question -> function; an exception it raises for a missing package is the `error`.
    """
    answers, error = {}, ""
    try:
        answers = make()
    except (ImportError, OSError, RuntimeError) as missing:  # torchvision built for another torch
        error = str(missing)
    answers |= {"error": lambda: error, "peak": peak_mib}
    for line in sys.stdin:
        question, *values = json.loads(line)
        print("answer " + json.dumps(answers[question](*values)), flush=True)


def photograph():
    """A photograph of 512 x 600 that comes with matplotlib, as a PIL image."""
    from matplotlib import cbook
    from PIL import Image

    return Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")


@contextlib.contextmanager
def children(makers):
    """Starts a Child for each name -> function: (cases that can be measured, name -> why not)."""
    with contextlib.ExitStack() as stack:
        cases, missing = {}, {}
        for name, make in makers.items():
            child = stack.enter_context(make())
            (missing if child.error else cases)[name] = child.error or child
            if child.error:
                print(f"{name}: not measured: {child.error}", flush=True)
        yield cases, missing


def answers_of(cases, missing, *question):
    """(name, answer) of each Child in `cases`; one whose process has ended moves to `missing`."""
    for name, child in list(cases.items()):
        answer = child.ask(*question)
        if isinstance(answer, str):
            missing[name] = answer
            del cases[name]
            print(f"{name}: not measured: {answer}", flush=True)
        else:
            yield name, answer


def version(package):
    """Its version; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def machine():
    """Processor, cores, memory, versions, commit, thread settings."""
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


def keep(name, result, quick, folder=None):
    """`result` with the machine's description; written to FOLDER/NAME.json unless `quick`.

    folder: benchmarks/results by default.
    """
    result = _uncolored({"machine": machine(), **result})
    if not quick:
        folder = Path(folder or RESULTS)
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


def _uncolored(value):
    """Why a row failed may be a program's message to a terminal."""
    if isinstance(value, str):
        return uncolored(value)
    if isinstance(value, dict):
        return {key: _uncolored(inner) for key, inner in value.items()}
    return [_uncolored(inner) for inner in value] if isinstance(value, list) else value


def kept(name, folder=None):
    """What `keep` wrote, if it was of this commit; else {}."""
    path = Path(folder or RESULTS) / f"{name}.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    return found if found.get("machine", {}).get("commit") == commit() else {}


def commit():
    """Of the checkout this file is in, "-dirty" if files differ; "unknown" outside a checkout."""
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
