"""The input pipeline beside TF-slim's, torchvision's, and decoding alone.

    python -m benchmarks.input [--quick]

Each row is a process of its own that holds the same photographs in memory (ImageNet-like:
484 x 398 on average, 100 KB) and turns them into batches of 32 at 299 x 299. The rows take
turns: each makes `COUNT` images, round by round. Decoding alone is the floor. Kept are images per
second, processor seconds an image (of all threads and worker processes), peak memory, and the
ratios that the documentation quotes, pair by pair.

TF-slim's distortion is written here from its published description: decode the whole
photograph to floats, sample a box, crop, resize, flip, and TensorFlow's own colour operations.
"""

import contextlib
import functools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import harness

SIZE, BATCH, CORES = 299, 32, 2
NAMES = (
    "decode alone",
    "decode of the random crop alone",
    "ours, no colour",
    "ours, fast",
    "ours, full",
    "TF-slim, fast",
    "TF-slim, full",
    "TF-slim, fast, with our memory setting",
    "TF-slim, full, with our memory setting",
    "torchvision crop and flip",
    "scoring crop",
)
PHOTOGRAPHS, COUNT, ROUNDS = 64, 1024, 9
# numerator, denominator: how much faster the first is.
RATIOS = (("ours, no colour", "decode of the random crop alone"),
          ("ours, fast", "TF-slim, fast"), ("ours, full", "TF-slim, full"),
          ("ours, fast", "TF-slim, fast, with our memory setting"),
          ("ours, full", "TF-slim, full, with our memory setting"),
          ("ours, fast", "torchvision crop and flip"))


def main():
    """Prints a line a row; keeps the result."""
    arguments = harness.arguments(__doc__, serve="", folder="")
    if arguments.serve:
        return serve(arguments.serve, Path(arguments.folder))
    if arguments.quick:
        return print(json.dumps(quick(), indent=2))
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder), PHOTOGRAPHS)
        turns, missing = take_turns(Path(folder))
    result = {"rows": {name: row_of(own) for name, own in turns.items()}, "missing": missing,
              "ratios": ratios(turns), "images": f"{PHOTOGRAPHS} photographs, {COUNT} a turn"}
    for name, row in result["rows"].items():
        print(f"{name}: {row['images_per_second']['median']:.0f} images/s, "
              f"{row['cpu_ms']['median']:.2f} ms of CPU, {row['peak_mib']:.0f} MiB")
    for name, why in missing.items():
        print(f"{name}: {why}")
    for row in result["ratios"]:
        print(f"{row['of']} / {row['to']}: {row['wall']:.2f} by the clock, {row['cpu']:.2f} by CPU")
    harness.keep("input", result, arguments.quick)


def quick():
    """Every row that TensorFlow alone carries, once, in this process, on a few photographs."""
    from benchmarks.input_rows import ROWS

    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder), 2)
        encoded = read_photographs(Path(folder))
    turns = {name: [measured(functools.partial(row(encoded), BATCH), BATCH)]
             for name, row in ROWS.items() if name != "torchvision crop and flip"}
    return {name: row_of(own) for name, own in turns.items()}


def take_turns(folder):
    """(row -> list of measurements, row -> why it has none)."""
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(_server(name, folder)) for name in NAMES}
        missing = {name: ready["missing"] for name, server in servers.items()
                   if "missing" in (ready := json.loads(server.stdout.readline()))}
        turns = {name: [] for name in NAMES if name not in missing}
        for _ in range(ROUNDS):
            for name, own in turns.items():
                print(COUNT, file=servers[name].stdin, flush=True)
                own.append(json.loads(servers[name].stdout.readline()))
        return turns, missing


@contextlib.contextmanager
def _server(name, folder):
    words = ["-m", "benchmarks.input", f"--serve={name}", f"--folder={folder}"]
    child = subprocess.Popen([sys.executable, *words], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield child
    finally:
        child.stdin.close()
        child.wait()


def serve(name, folder):
    """One row's process: answers each number on standard input with a measurement."""
    from benchmarks.input_rows import ROWS

    try:
        make = ROWS[name](read_photographs(folder))
    except (ImportError, RuntimeError) as error:  # torchvision that was built for another torch
        return print(json.dumps({"missing": f"not measured: {error}"}), flush=True)
    make(COUNT)
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        print(json.dumps(measured(functools.partial(make, int(line)), int(line))), flush=True)


def measured(call, count):
    """Images per second, CPU milliseconds an image, peak memory of `call`, which makes `count`."""
    started, cpu = time.perf_counter(), _cpu_seconds()
    call()
    seconds = time.perf_counter() - started
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF,
                                                           resource.RUSAGE_CHILDREN)]
    return {"images_per_second": count / seconds, "cpu_ms": 1e3 * (_cpu_seconds() - cpu) / count,
            "peak_mib": (peaks[0] + CORES * peaks[1]) / 1024}


def _cpu_seconds():
    """Of this process and of the children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def row_of(turns):
    """Medians and spread of one row's measurements."""
    columns = {name: [turn[name] for turn in turns] for name in turns[0]}
    return {"images_per_second": harness.spread(columns["images_per_second"]),
            "cpu_ms": harness.spread(columns["cpu_ms"]), "peak_mib": max(columns["peak_mib"])}


def ratios(turns):
    """The pairs of RATIOS that were measured: how many times faster, on both clocks."""
    found = []
    for of, to in RATIOS:
        if of in turns and to in turns:
            rate, cpu = ([[turn[clock] for turn in turns[name]] for name in (of, to)]
                         for clock in ("images_per_second", "cpu_ms"))
            found.append({"of": of, "to": to, "wall": harness.ratio(*rate),
                          "cpu": harness.ratio(*cpu[::-1])})
    return found


def write_photographs(folder, number):
    """`number` JPEGs: one photograph at many sizes, under noise that brings it to 100 KB."""
    import matplotlib
    import numpy as np
    from PIL import Image

    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    photograph = Image.open(path).convert("RGB")
    rng = np.random.default_rng(0)
    for i in range(number):
        width, height = (int(rng.integers(side - 60, side + 61)) for side in (484, 398))
        pixels = np.asarray(photograph.resize((width, height), Image.BICUBIC), np.float32)
        pixels = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.jpg", quality=94)


def read_photographs(folder):
    """The encoded photographs of `folder`."""
    return [path.read_bytes() for path in sorted(folder.iterdir())]


if __name__ == "__main__":
    main()
