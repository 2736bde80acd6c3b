"""A training step of Inception-ResNet-v2 (released): ours, Keras', PyTorch's; and the demo's.

    python -m benchmarks.training [--quick]

Ours with all that training adds (averages, clipping, weight decay, label smoothing, the check for
non-finite numbers) against keras.applications' network with Keras' RMSprop in a bare tf.function,
the same under `fit`, and timm's with PyTorch's RMSprop, channels last; in float32, and ours and
Keras' in mixed_bfloat16. Random images of 299 x 299, no input pipeline. Each runs in its own
process and waits while another has its turn: rounds A B C A B C, at batch 8 and 16. Also measured:
seconds from the start of a process to its first completed step. The floor is three times the
multiply-adds of a forward pass at the matrix rate measured in the same run.

Shares: one of our steps under TensorFlow's profiler, seconds of operations by purpose.
"""

import functools
import os
import sys
import time

from benchmarks import harness, training_cases

ROUNDS, STARTS = 4, 2
BASE = "keras.applications, tf.function"
REMAT = "ours, --remat"
BFLOAT16, BASE_BFLOAT16 = "ours, mixed_bfloat16", "keras.applications, mixed_bfloat16"
# name: what makes it (training_cases.py).
CASES = {"ours": "ours", REMAT: "ours_remat", BASE: "keras_function"}
OTHERS = {"keras.applications, fit": "keras_fit", "timm, PyTorch, channels last": "timm_network",
          BASE: "keras_function"}
HALF = {BFLOAT16: "ours_bfloat16", BASE_BFLOAT16: "keras_bfloat16", BASE: "keras_function"}
# Groups that take turns, each beside BASE: all at once do not fit into the memory.
GROUPS = {8: (CASES, HALF, OTHERS), 16: (CASES, HALF)}
DEMO = {1: ({"demo network": "demo"},), 20: ({"demo network, 20 updates a call": "demo"},)}
# keras.applications has no network this small: the quick form has no peer.
QUICK = {8: ({"ours": "tiny"},)}


def main():
    """Prints a line a case; keeps the result."""
    arguments = harness.arguments(__doc__, load="", batch=0)
    if arguments.load:
        training_cases.serve(arguments.load, arguments.batch)
        return None
    return harness.keep("training", run(arguments.quick), arguments.quick)


def run(quick):
    """The whole comparison; a dict for the results file."""
    rate = harness.matrix_rate(256 if quick else 4096)
    result = {"not_measured": {}, "matrix_gflops": rate,
              "floor_images_per_second": harness.floor_rate(rate) / 3}
    groups, rounds = (QUICK, 1) if quick else (GROUPS, ROUNDS)
    first = groups[8][0]
    result["starts"] = starts({n: first[n] for n in ("ours", BASE) if n in first},
                              1 if quick else STARTS)
    missing = result["not_measured"]
    result["batches"] = {str(batch): _groups(groups[batch], batch, rounds, missing)
                         for batch in groups}
    result["shares"] = shares(first["ours"], 8)
    result["demo"] = {} if quick else {
        name: row for updates, group in DEMO.items()
        for name, row in _groups(group, updates, rounds, missing).items()}
    return result


def _groups(groups, batch, rounds, missing):
    rows = {}
    for cases in groups:
        rows = {**steps(cases, batch, rounds, missing), **rows}  # BASE as the first had it
    return rows


def starts(cases, rounds):
    """Seconds from the start of a process to its first completed step, interleaved."""
    found = {name: {"wall": [], "cpu": []} for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            with Child(case, 8) as child:
                if child.error:
                    raise RuntimeError(f"{name}: {child.error}")
                for clock, seconds in child.start.items():
                    found[name][clock].append(seconds)
    for name, clocks in found.items():
        print(f"start to first step  {name:34} {min(clocks['wall']):6.1f} s, "
              f"{min(clocks['cpu']):6.1f} CPU s", flush=True)
    return {name: {clock: harness.spread(values) for clock, values in clocks.items()}
            for name, clocks in found.items()}


def steps(cases, batch, rounds, not_measured):
    """Name -> row of each case in turn; `not_measured` gets those that failed."""
    makers = {name: functools.partial(Child, case, batch) for name, case in cases.items()}
    with harness.children(makers) as (children, missing):
        seconds = {name: {"wall": [], "cpu": []} for name in children}
        for _ in range(rounds):
            for name, clocks in harness.answers_of(children, missing, "step"):
                for clock, value in clocks.items():
                    seconds[name][clock].append(value)
        rows = {name: _row(child, {n: seconds[n] for n in children}, name)
                for name, child in children.items()}
    not_measured.update({f"{name}, batch {batch}": why for name, why in missing.items()})
    return rows


def shares(case, batch):
    """Part of a step -> its share of the time of all operations."""
    with Child(case, batch) as child:
        found = child.ask("shares")
    for part, share in found.items():
        print(f"share of a step  {part:24} {100 * share:5.1f} %", flush=True)
    return found


def _row(child, seconds, name):
    clocks = seconds[name]
    row = {"seconds": {clock: harness.spread(values) for clock, values in clocks.items()},
           "images_per_second": harness.spread([child.batch / s for s in clocks["wall"]]),
           "peak_mib": child.ask("peak"), "start": child.start}
    if BASE in seconds:
        row["ratio"] = {clock: harness.ratio(seconds[BASE][clock], values)
                        for clock, values in clocks.items()}
    print(f"batch {child.batch:3} {name:36} {row['images_per_second']['median']:8.2f} images/s, "
          f"{row['peak_mib']:6.0f} MiB"
          + (f", {row['ratio']['wall']:.2f} x {BASE}" if "ratio" in row else ""), flush=True)
    return row


class Child(harness.Child):
    """A process that has trained one step of a case.

    start: {"wall", "cpu"}: seconds from its start to the end of that step.
    batch: images of a step.
    """

    def __init__(self, case, batch):
        super().__init__(["-m", "benchmarks.training", f"--load={case}", f"--batch={batch}"],
                         {training_cases.STARTED: str(time.time())})
        if not self.error:
            self.start, self.batch = self.ask("start")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(not main())
