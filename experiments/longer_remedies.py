"""Do a lower rate and batch norm keep a very wide network alive for longer? (section 3.3)

    python -m experiments.longer_remedies [--quick]

In the paper neither helped; in `residual_scaling` units stay alive with both. Its widest network
with each of them, unscaled and with the smallest scale, four times as long.
"""

import itertools
import sys

from experiments import figures, intervals
from experiments.residual_scaling import SEEDS, WIDTHS, of, runs_of
from experiments.rows import finished, seed_of
from experiments.runner import run_experiment
from inception_tf.commands.shell import exit_code_of

REMEDIES = ("rate / 10", "batch norm before the pool")
SCALES = (1.0, 0.1)
EPOCHS = 8.0
SHOWN = (2, 4, 6, 8)


def grid(settings):
    """Each remedy at both scales, seed by seed."""
    widths = (0.07,) if settings.quick else WIDTHS[-1:]
    cells = itertools.product(settings.seeds_of(range(SEEDS)), widths, REMEDIES, SCALES)
    return runs_of(cells, settings, EPOCHS)


def curves(row):
    """(epochs, share of dead units in %, top-1 error of the raw weights in %), by scoring."""
    epochs, errors = intervals.curve(row, "raw_top1_error")
    dead = [100 * point["dead_units"] for point in row["probe"]]
    return epochs, dead, [100 * error for error in errors]


def table(rows):
    """Markdown: dead units and error every two epochs."""
    lines = ["| remedy | scale | seeds | " + " | ".join(f"epoch {e}" for e in SHOWN) + " |",
             "|---|---|---|" + "---|" * len(SHOWN)]
    for remedy, scale in itertools.product(REMEDIES, SCALES):
        found = [curves(row) for row in finished(of(rows, remedy=remedy, scale=scale))]
        if found:
            cells = [_cell(found, epoch) for epoch in SHOWN]
            lines.append(f"| {remedy} | {scale:g} | {len(found)} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "Share of dead units before the pool, top-1 error of the raw "
                      "weights; means and 95 % intervals over seeds."])


def verdict(rows):
    """What became of the units of the unscaled network, and what the smallest scale gains."""
    parts = []
    for remedy in REMEDIES:
        plain, scaled = ({seed_of(row): curves(row) for row in finished(
            of(rows, remedy=remedy, scale=scale))} for scale in SCALES)
        both = [(plain[seed], scaled[seed]) for seed in sorted(plain.keys() & scaled.keys())]
        if both:
            dead = intervals.text([one[1][-1] for one, _ in both])
            gains = [one[2][-1] - other[2][-1] for one, other in both]
            parts.append(f"{remedy}, unscaled: {dead} % dead at the end; less error scaled: "
                         f"{intervals.judged(gains)}")
    return f"{'. '.join(parts)}."


def _cell(found, epoch):
    """What the scoring at `epoch` found, over seeds."""
    at = [i for i, e in enumerate(found[0][0]) if abs(e - epoch) < 0.1]
    if not at:
        return ""
    dead, errors = ([one[kind][at[0]] for one in found] for kind in (1, 2))
    return f"{intervals.text(dead)} % dead, {intervals.text(errors)} % error"


def draw(rows, path):
    """Dead units and error against epochs, a column a remedy, a line a scale."""
    figure, axes = figures.new_figure(2, len(REMEDIES), width=11, height=3.5)
    for remedy, panels in zip(REMEDIES, axes.T, strict=True):
        for scale, color in zip(SCALES, ("C0", "C3"), strict=True):
            found = [curves(row) for row in finished(of(rows, remedy=remedy, scale=scale))]
            for panel, kind in zip(panels, (1, 2), strict=True):
                figures.mean_band(panel, found and found[0][0], [one[kind] for one in found],
                                  f"scale {scale:g}", color)
        panels[0].set_title(f"{remedy} (95 % intervals)")
        for panel, name in zip(panels, ("dead units before the pool (%)", "top-1 error (%)"),
                               strict=True):
            panel.set(xlabel="epochs", ylabel=name, ylim=(-3, 103))
    return figures.finish(figure, axes, path)


def main(argv):
    """Runs what is missing of the grid, then prints the table and draws the figure."""
    run_experiment("longer_remedies", __doc__.splitlines()[0], grid, table, draw, argv)


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
