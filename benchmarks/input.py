"""The input pipeline against TF-slim's, torchvision's, and decoding alone.

    python -m benchmarks.input [--quick]

Each row has its own process, which holds the same photographs in memory (ImageNet-like:
484 x 398 on average, 100 KB) and turns them into batches of 32 at 299 x 299. The rows take
turns: each makes `COUNT` images, round by round. Decoding alone is the floor. Kept are images per
second, CPU time per image (of all threads and worker processes), peak memory, and the pairwise
ratios that the documentation quotes.

TF-slim's distortion is written from its published description: decode the whole photograph to
floats, sample a box, crop, resize, flip, and TensorFlow's own colour operations.
"""

import functools
import json
import tempfile
from pathlib import Path

from benchmarks import harness

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
# How many times faster the first is than the second.
RATIOS = (("ours, no colour", "decode of the random crop alone"),
          ("ours, fast", "TF-slim, fast"), ("ours, full", "TF-slim, full"),
          ("ours, fast", "TF-slim, fast, with our memory setting"),
          ("ours, full", "TF-slim, full, with our memory setting"),
          ("ours, fast", "torchvision crop and flip"))


def main():
    """Prints a line a row; keeps the result."""
    arguments = harness.arguments(__doc__, serve="", folder="")
    if arguments.serve:
        from benchmarks.input_rows import answers

        return harness.answer_questions(
            lambda: answers(arguments.serve, Path(arguments.folder), COUNT))
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
    """Every row that needs only TensorFlow, once, in this process, on two photographs."""
    from benchmarks.input_rows import BATCH, ROWS, answers

    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder), 2)
        return {name: row_of([answers(name, Path(folder), BATCH)["measure"](BATCH)])
                for name in ROWS if name != "torchvision crop and flip"}


def take_turns(folder):
    """(row -> list of measurements, row -> why it has none)."""
    makers = {name: functools.partial(harness.Child, [
        "-m", "benchmarks.input", f"--serve={name}", f"--folder={folder}"]) for name in NAMES}
    with harness.children(makers) as (rows, missing):
        turns = {name: [] for name in rows}
        for _ in range(ROUNDS):
            for name, measurement in harness.answers_of(rows, missing, "measure", COUNT):
                turns[name].append(measurement)
        return ({name: turns[name] for name in rows},
                {name: f"not measured: {why}" for name, why in missing.items()})


def row_of(turns):
    """Medians and spread of one row's measurements."""
    columns = {name: [turn[name] for turn in turns] for name in turns[0]}
    return {"images_per_second": harness.spread(columns["images_per_second"]),
            "cpu_ms": harness.spread(columns["cpu_ms"]), "peak_mib": max(columns["peak_mib"])}


def ratios(turns):
    """The pairs of RATIOS of which both were measured: how many times faster, on both clocks."""
    found = []
    for of, to in RATIOS:
        if of in turns and to in turns:
            rate, cpu = ([[turn[clock] for turn in turns[name]] for name in (of, to)]
                         for clock in ("images_per_second", "cpu_ms"))
            found.append({"of": of, "to": to, "wall": harness.ratio(*rate),
                          "cpu": harness.ratio(*cpu[::-1])})
    return found


def write_photographs(folder, number):
    """Writes `number` JPEGs: one photograph at many sizes, with noise that brings it to 100 KB."""
    import numpy as np
    from PIL import Image

    photograph = harness.photograph()
    rng = np.random.default_rng(0)
    for i in range(number):
        width, height = (int(rng.integers(side - 60, side + 61)) for side in (484, 398))
        pixels = np.asarray(photograph.resize((width, height), Image.BICUBIC), np.float32)
        pixels = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.jpg", quality=94)


if __name__ == "__main__":
    main()
