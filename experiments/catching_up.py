"""Does the plain network catch up with the residual one, and when? Figures 21 to 24 of the paper.

    python -m experiments.catching_up [--quick]

Inception-v3 and Inception-ResNet-v1 of `residual_speedup`, three times as long: in the paper both
end at the same error.
"""

import sys

from experiments import figures, intervals, residual_speedup
from experiments.rows import finished
from experiments.runner import run_experiment
from inception_tf.commands.shell import exit_code_of

PAIR = residual_speedup.PAIRS[0]
PLAIN, RESIDUAL = (net for net, _ in PAIR)
EPOCHS = 24.0
SEEDS = 3
SHOWN = (4, 8, 12, 16, 20, 24)
# Points of top-1 error: a lead that surely is less counts as none.
EQUAL = 1.0


def grid(settings):
    """Both networks, seed by seed."""
    return residual_speedup.runs_of([PAIR], range(SEEDS), settings, epochs=EPOCHS)


def pairs(rows):
    """(plain, residual) rows of the seeds of which both finished, by seed."""
    return residual_speedup.pairs_of(finished(rows), PAIR)


def leads(rows):
    """[(epoch, points by which each seed's plain error is the larger)], scoring by scoring."""
    both = [[intervals.curve(row) for row in pair] for pair in pairs(rows)]
    return [(epoch, [100 * (plain[1][i] - residual[1][i]) for plain, residual in both])
            for i, epoch in enumerate(both[0][0][0])] if both else []


def caught_up(rows):
    """The first epoch from which on every interval of the lead ends below EQUAL; None without."""
    since = None
    for epoch, lead in leads(rows):
        is_close = intervals.mean_and_interval(lead)[2] < EQUAL
        since = (since or epoch) if is_close else None
    return since


def table(rows):
    """Markdown: errors and the lead of the residual network every four epochs."""
    both = pairs(rows)
    names = residual_speedup.NAMES
    lines = [f"| epochs | {names[PLAIN]} | {names[RESIDUAL]} | lead in points |",
             "|---|---|---|---|"]
    for i, (epoch, lead) in enumerate(leads(rows)):
        if round(epoch, 3) in SHOWN:
            errors = [[100 * intervals.curve(row)[1][i] for row in side]
                      for side in zip(*both, strict=True)]
            lines.append(f"| {epoch:.0f} | {intervals.text(errors[0])} | "
                         f"{intervals.text(errors[1])} | {intervals.text(lead)} |")
    return "\n".join([*lines, "", f"Top-1 error in %, {len(both)} seeds; leads seed by seed, with "
                      "95 % intervals."])


def verdict(rows):
    """Whether and when the plain network has caught up."""
    if len(pairs(rows)) < 2:
        return "One seed, no verdict."
    (first, early), (last, late) = leads(rows)[SHOWN[0] - 1], leads(rows)[-1]
    since = caught_up(rows)
    if since is not None:
        found = f"caught up: from epoch {since:.0f} on the lead is below {EQUAL:.0f} point"
    elif intervals.mean_and_interval(late)[1] > 0:
        found = "not caught up"
    else:
        found = f"undecided, the interval has zero and more than {EQUAL:.0f} point"
    seeds = f"{sum(lead > 0 for lead in late)} of {len(late)} seeds"
    return (f"The residual network leads by {intervals.text(early)} points after {first:.0f} "
            f"epochs and by {intervals.text(late)} after {last:.0f}, where it is ahead with "
            f"{seeds}: {found}.")


def draw(rows, path):
    """Error against epochs of both, and the lead."""
    figure, axes = figures.new_figure(1, 2, width=12)
    for net in (PLAIN, RESIDUAL):
        own = [row for row in rows if row["facts"]["net"] == net]
        figures.band(axes[0][0], own, residual_speedup.NAMES[net], residual_speedup.COLORS[net])
    axes[0][0].set(xlabel="epochs", ylabel="top-1 error (%)", ylim=(0, 100),
                   title="three times as long (95 % intervals)")
    epochs, values = zip(*leads(rows), strict=True)
    means, lows, highs = zip(*map(intervals.mean_and_interval, values), strict=True)
    axes[0][1].plot(epochs, means, color="black", label="lead of the residual network")
    axes[0][1].fill_between(epochs, lows, highs, color="black", alpha=0.2)
    axes[0][1].axhline(0, color="0.6", linewidth=1)
    axes[0][1].set(xlabel="epochs", ylabel="points of top-1 error",
                   title="plain less residual, seed by seed (95 % intervals)")
    return figures.finish(figure, axes, path)


def main(argv):
    """Runs what is missing of the grid, then prints the table and draws the figure."""
    run_experiment("catching_up", __doc__.splitlines()[0], grid, table, draw, argv)


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
