"""Do averaged weights score better? Section 4 of the paper scores nothing else.

    python -m experiments.averaging [--quick]

The runs are those of `residual_speedup` (existing results are reused): at each scoring the raw and
the averaged weights of the same step are compared.
"""

import sys

from experiments import figures, intervals, residual_speedup
from experiments.rows import finished
from experiments.runner import FULL, run_experiment
from inception_tf.commands.shell import exit_code_of

NETS = tuple(residual_speedup.NAMES)


def gains(rows):
    """Per run, raw minus averaged top-1 error at the last scoring, in percentage points."""
    return [100 * (intervals.curve(r, "raw_top1_error")[1][-1] - intervals.curve(r)[1][-1])
            for r in rows]


def table(rows):
    """Markdown: error of both sets of weights at the end, and the paired difference."""
    lines = ["| network | seeds | raw weights | averaged weights | gain in points "
             "(95 % interval) |", "|---|---|---|---|---|"]
    for net in NETS:
        own = finished(r for r in rows if r["facts"]["net"] == net)
        if not own:
            continue
        ends = [intervals.mean_and_interval([100 * intervals.curve(r, c)[1][-1] for r in own])[0]
                for c in ("raw_top1_error", "ema_top1_error")]
        lines.append("| {} | {} | {:.2f} % | {:.2f} % | {} |".format(
            residual_speedup.NAMES[net], len(own), *ends, intervals.text(gains(own))))
    return "\n".join(lines)


def verdict(rows):
    """What averaging gains each network."""
    found = [(net, finished(r for r in rows if r["facts"]["net"] == net)) for net in NETS]
    return "Less error with averaged weights: " + "; ".join(
        f"{residual_speedup.NAMES[net]} {intervals.judged(gains(own))}"
        for net, own in found if own) + "."


def draw(rows, path):
    """One panel a network: raw and averaged error against epochs."""
    figure, axes = figures.new_figure(1, len(NETS), width=15)
    for net, panel in zip(NETS, axes[0], strict=True):
        own = [r for r in rows if r["facts"]["net"] == net]
        figures.band(panel, own, "raw weights", "0.5", column="raw_top1_error")
        figures.band(panel, own, "averaged weights", "C3")
        panel.set(xlabel="epochs; 95 % intervals", ylabel="top-1 error (%)", ylim=(0, 100),
                  title=residual_speedup.NAMES[net])
    return figures.finish(figure, axes, path)


def main(argv):
    """Runs what is missing of residual_speedup's grid, then prints the table and draws."""
    run_experiment("residual_speedup", __doc__.splitlines()[0], residual_speedup.grid, table, draw,
                   argv, picture="averaging", more=(FULL,))


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
