"""The networks on a GPU without TensorFlow, under Keras' other backends, against timm's.

    python -m benchmarks.gpu [--only=PATTERN] [--results=DIR] [--quick]

The released Inception-ResNet-v2 at 299x299, channels last, bfloat16 (training: float32 weights and
bfloat16 arithmetic; inference: all bfloat16), on random images that are already on the device. A
training step is loss, gradients and SGD with momentum, the same for all. Each measurement has its
own process, so that peak memory is its own and one that does not fit fails alone; the first is
repeated at the end and shows how far the machine drifted. Rows are kept as they are measured: the
same command resumes, as long as commit and chip are the same; --only measures those whose "KIND
BATCH NAME" has the pattern, without the repetition. The floor is the multiply-adds (three
times as many for a training step) at the rate of a bfloat16 matrix product in the same run. Nothing
here imports TensorFlow. The quick form runs on a CPU, with a small network.
"""

import importlib.util
import itertools
import json
import re

from benchmarks import harness
from benchmarks.gpu_cases import CASES, answer

# What is timed -> its cost in forward passes.
KINDS = {"training": 3, "inference": 1}
# torch.compile takes minutes a graph: it is measured at the first only.
BATCHES = (128, 256, 64)
# Compiling for a CPU takes minutes and says nothing of a GPU.
QUICK_CASES = ("ours, JAX", "ours, PyTorch", "timm, PyTorch")


def main():
    """Prints a line a measurement; keeps the result."""
    arguments = harness.arguments(__doc__, child="", kind="", batch=0, only="", results="")
    if arguments.child:
        return print(json.dumps(answer(
            arguments.child, arguments.kind, arguments.batch, arguments.quick)))
    names = QUICK_CASES if arguments.quick else tuple(CASES)
    missing = {name: f"{CASES[name][1]} is not installed" for name in names
               if importlib.util.find_spec(CASES[name][1]) is None}
    names = [name for name in names if name not in missing]
    for name, why in missing.items():
        print(f"{name}: not measured: {why}", flush=True)
    if not names:
        return print("not run: neither JAX nor PyTorch is installed")
    chip = ask(names[-1], "chip", 0, arguments.quick)
    if chip["device"] == "cpu" and not arguments.quick:
        return print("not run: no GPU that JAX or PyTorch can use; --quick runs on a CPU")
    result = harness.kept("gpu", arguments.results) if not arguments.quick else {}
    if "drift" in result or result.get("device") != chip["device"]:
        result = {**chip, "kinds": {kind: {} for kind in KINDS}}
    result["not_measured"] = missing
    return take_turns(names, result, arguments)


def take_turns(names, result, arguments):
    """Fills `result`: "kinds": kind -> batch -> case -> row, "drift": end / start of the first."""
    quick, folder = arguments.quick, arguments.results
    for kind, batch, name in plan(names, quick):
        rows = result["kinds"][kind].setdefault(str(batch), {})
        if ("images_per_second" not in rows.get(name, ())
                and re.search(arguments.only, f"{kind} {batch} {name}")):
            rows[name] = _row(name, kind, batch, result, quick)
            result = harness.keep("gpu", result, quick, folder)
    if not quick and not arguments.only:
        first, again = (row.get("images_per_second", {}).get("median") for row in (
            result["kinds"]["training"][str(BATCHES[0])][names[0]],
            _row(names[0], "training", BATCHES[0], result, quick)))
        result["drift"] = again / first if first and again else None
        harness.keep("gpu", result, quick, folder)
    return result


def plan(names, quick):
    """(kind, batch, name) of every measurement, in order."""
    batches = (2,) if quick else BATCHES
    eager = [name for name in names if "torch.compile" not in name]
    yield from itertools.product(KINDS, batches, eager)
    yield from itertools.product(KINDS, batches[:1], [n for n in names if n not in eager])


def _row(name, kind, batch, chip, quick):
    """What one process measured, or why it failed."""
    try:
        found = ask(name, kind, batch, quick)
    except RuntimeError as error:
        row = {"failed": reason(str(error))}
        print(f"{kind}, batch {batch}, {name}: {row['failed']}", flush=True)
        return row
    rates = harness.spread([batch / s for s in found["seconds"]])
    operations = 2 * KINDS[kind] * harness.MULTIPLY_ADDS
    row = {"images_per_second": rates, "peak_mib": found["peak_mib"],
           "first_call_seconds": found["first_call_seconds"],
           "matrix_share": rates["median"] * operations / (1e12 * chip["matrix_tflops"])}
    print(f"{kind}, batch {batch}, {name}: {rates['median']:.1f} images/s, "
          f"{row['peak_mib']:.0f} MiB"
          # The quick form's network has fewer multiply-adds than MULTIPLY_ADDS.
          + f", {100 * row['matrix_share']:.1f} % of the matrix rate" * (not quick), flush=True)
    return row


def reason(text):
    """The line of an error's text that names it; Keras adds a layer's arguments after it."""
    lines = text.strip().splitlines()
    named = [line for line in lines if re.search(r"out of memory|RESOURCE_EXHAUSTED|Error: ", line)]
    return (named or lines)[-1].strip()[:300]


def ask(name, kind, batch, quick):
    """What a case's own process answers (gpu_cases.answer), and its peak memory."""
    backend = "jax" if CASES[name][1] == "jax" else "torch"
    words = ["-m", "benchmarks.gpu", f"--child={name}", f"--kind={kind}", f"--batch={batch}",
             *["--quick"] * quick]
    run = harness.process(words, {"KERAS_BACKEND": backend,
                                  "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95"})
    # On a CPU the peak is that of the process.
    return {"peak_mib": run["peak_mib"], **json.loads(run["output"].splitlines()[-1])}


if __name__ == "__main__":
    main()
