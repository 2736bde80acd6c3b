"""How time grows with image size, batch, width and depth, compared with the multiply-adds.

    python -m benchmarks.growth [--quick]

Inception-ResNet-v2 as the paper draws it, at half its width with a fifth of its blocks; from there
one setting changes at a time. Timed, per image: a whole update of training (loss, gradients,
clipping, RMSProp, averages) and inference (floats in, probabilities out). The points of one setting
take turns. Each is compared with the smallest by its time per multiply-add, round by round, in wall
and CPU seconds: 1 grows as the multiply-adds do, above 1 faster. A row above 1 in every round by
both is marked. The floor is the multiply-adds (three times as many for an update) at the rate of a
matrix product in the same run. Writes results/growth.json and results/growth.png.
"""

import dataclasses
import functools
import io
import logging
import sys

from benchmarks import harness
from inception_tf.commands.shell import import_tensorflow

CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Point:
    """One network on one batch; repeats are the blocks A, B and C, the paper's are 5, 10, 5."""

    image_size: int = 299
    batch: int = 8
    width: float = 0.5
    repeats: tuple = (1, 2, 1)


# Axis: (unit, value -> point), smallest first.
AXES = {
    "image size": ("pixels", {s: Point(image_size=s) for s in (149, 299, 448)}),
    "batch": ("images", {b: Point(batch=b) for b in (1, 2, 4, 8, 16)}),
    "width": ("times the paper's filters", {w: Point(width=w) for w in (0.25, 0.5, 1.0)}),
    "depth": ("blocks", {sum(r): Point(repeats=r) for r in ((1, 2, 1), (2, 4, 2), (5, 10, 5))}),
}
ROUNDS = 7
QUICK = {"image size": ("pixels", {s: Point(s, 2, 0.07, (1, 1, 1)) for s in (75, 107)})}
# What is timed -> its cost in forward passes.
KINDS = {"update": 3, "inference": 1}


def main():
    """Prints a line a point; keeps the result and the picture."""
    arguments = harness.arguments(__doc__)
    rate = harness.matrix_rate(256 if arguments.quick else 4096)
    result = {"matrix_gflops": rate, "axes": {}}
    axes, rounds = (QUICK, 1) if arguments.quick else (AXES, ROUNDS)
    built = functools.cache(calls_of)
    for name, (unit, points) in axes.items():
        result["axes"][name] = {"unit": unit, "rows": measure(points, built, rounds, rate)}
        for row in result["axes"][name]["rows"]:
            print(f"{name} {row['value']}: " + ", ".join(_line(row, kind) for kind in KINDS),
                  flush=True)
    result = harness.keep("growth", result, arguments.quick)
    draw(result, io.BytesIO() if arguments.quick else harness.RESULTS / "growth.png")
    return result


def _line(row, kind):
    found = row[kind]
    ratios = found["per_multiply_add"]
    return (f"{kind} {found['ms']['median']:.1f} ms an image, {ratios['wall']['median']:.2f} per "
            f"multiply-add ({ratios['cpu']['median']:.2f} by CPU)"
            f"{' (GROWS FASTER THAN THE MULTIPLY-ADDS)' * found['grows_faster']}")


def measure(points, built, rounds, gflops):
    """A row per point of one axis (value -> Point), the smallest first.

    Args:
        built: Point -> (multiply-adds of an image, kind -> call).
        gflops: of a matrix product, for the floor.
    """
    cases = {(value, kind): call for value, point in points.items()
             for kind, call in built(point)[1].items()}
    turns = harness.interleaved(cases, rounds)
    multiply_adds = {value: built(point)[0] for value, point in points.items()}
    first = next(iter(points))
    rows = []
    for value, count in multiply_adds.items():
        row = {"value": value, "multiply_adds": count}
        # Multiply-adds of the whole batch, in multiples of the smallest point's.
        grown = count * points[value].batch / (multiply_adds[first] * points[first].batch)
        for kind, passes in KINDS.items():
            relative = {clock: [s / base / grown for s, base in
                                zip(seconds, turns[first, kind][clock], strict=True)]
                        for clock, seconds in turns[value, kind].items()}
            row[kind] = {
                "ms": harness.spread([1e3 * s / points[value].batch
                                      for s in turns[value, kind]["wall"]]),
                "floor_ms": 1e3 * passes / harness.floor_rate(gflops, count),
                "per_multiply_add": {k: harness.spread(v) for k, v in relative.items()},
                "grows_faster": min(map(min, relative.values())) > 1,
            }
        rows.append(row)
    return rows


def calls_of(point):
    """(multiply-adds of an image, kind -> call) of a network made for one Point."""
    import numpy as np

    from benchmarks.overhead import step_and_batches
    from inception_tf.nets.anatomy import multiply_adds
    from inception_tf.runtime.cluster import ALONE
    from inception_tf.serving.runtimes import probabilities_of

    settings = {"net": "inception_resnet_v2", "image_size": point.image_size,
                "width": point.width, "repeats": point.repeats, "global_batch": point.batch,
                "replica_batch": point.batch}
    step, batches = step_and_batches("paper", {**settings, "aux_head": False}, "one", ALONE)
    images = np.zeros(batches[0]["image"].shape, np.float32)
    probabilities = probabilities_of(step.replica_pass.model, 0)
    calls = {"update": lambda: step(batches), "inference": lambda: probabilities(images)}
    return multiply_adds(step.replica_pass.model), calls


def draw(result, path):
    """A panel per axis, both scales logarithmic: what was measured, and the multiply-adds' line.

    path: of the picture, or a binary file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.5), layout="constrained")
    panels = figure.subplots(2, 2).flat
    for panel, (name, axis) in zip(panels, result["axes"].items(), strict=False):
        _draw_axis(panel, name, axis)
    handles, labels = panels[0].get_legend_handles_labels()
    labels, handles = zip(*sorted(zip(labels, handles, strict=True), key=lambda pair: pair[0]),
                          strict=True)
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    machine = result["machine"]
    figure.suptitle(f"Inception-ResNet-v2, milliseconds an image; {machine['processor']}, "
                    f"{machine['cores']} cores, float32", fontsize=11)
    figure.savefig(path, dpi=110)


def _draw_axis(panel, name, axis):
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

    rows, values = axis["rows"], [row["value"] for row in axis["rows"]]
    for color, kind in zip(("C3", "C0"), KINDS, strict=True):
        spreads = [row[kind]["ms"] for row in rows]
        middle = [s["median"] for s in spreads]
        ends = [[abs(s[end] - s["median"]) for s in spreads] for end in ("min", "max")]
        panel.errorbar(values, middle, ends, color=color, marker="o", capsize=3, label=kind)
        line = [middle[0] * row["multiply_adds"] / rows[0]["multiply_adds"] for row in rows]
        panel.plot(values, line, color=color, linestyle="--", linewidth=1,
                   label=f"{kind}: in proportion to multiply-adds")
        panel.plot(values, [row[kind]["floor_ms"] for row in rows], color=color, linestyle=":",
                   linewidth=1, label=f"{kind}: floor, the rate of a matrix product")
    panel.set(xscale="log", yscale="log", xlabel=f"{name} ({axis['unit']})", ylabel="ms per image")
    panel.set_xticks(values, [f"{value:g}" for value in values])
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    for scale in (panel.xaxis, panel.yaxis):
        scale.set_minor_locator(NullLocator())
    panel.grid(alpha=0.3)


if __name__ == "__main__":
    import_tensorflow()  # as the commands do
    # TensorFlow warns of repeated tracing; here each point is a graph of its own.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.exit(not main())
