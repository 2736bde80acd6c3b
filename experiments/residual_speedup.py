"""Do residual connections speed training up? Figures 21 to 26 and section 4 of the paper.

    python -m experiments.residual_speedup            the full grid
    python -m experiments.residual_speedup --quick    two epochs of one seed, to try it out
    python -m experiments.residual_speedup --full     the networks of the figures, on a GPU

Matched pairs at one reduced width and image size, cost within 10 %, same recipe and seeds:
Inception-v3 and Inception-ResNet-v1, Inception-v4 and Inception-ResNet-v2 (paper).
"""

import math
import sys

from experiments import figures, intervals
from experiments.recipe import base
from experiments.rows import finished
from experiments.runner import FULL, Run, run_experiment
from inception_tf.commands.shell import exit_code_of
from inception_tf.training.paper_curves import EPOCHS_TO, TOP1

# (plain, residual): repeats of blocks at which the costs match; the full networks have 3/4/2 (v3),
# 5/10/5, 4/7/3 (v4) and 5/10/5.
PAIRS = (
    (("inception_v3", (2, 2, 1)), ("inception_resnet_v1", (1, 3, 1))),
    (("inception_v4", (1, 2, 1)), ("inception_resnet_v2", (2, 4, 2))),
)
SEEDS = 5
# The lowest by which a pair is judged: 2 % of a few hundred pictures are chance.
JUDGED = 0.05
THRESHOLDS = (0.7, 0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.1, 0.05, 0.02)
NAMES = {"inception_v3": "Inception-v3", "inception_resnet_v1": "Inception-ResNet-v1",
         "inception_v4": "Inception-v4", "inception_resnet_v2": "Inception-ResNet-v2"}
COLORS = {"inception_v3": "C0", "inception_resnet_v1": "C3",
          "inception_v4": "C0", "inception_resnet_v2": "C3"}


def grid(settings):
    """The runs, seed by seed: part of the grid already compares all four networks."""
    return runs_of(PAIRS, range(SEEDS), settings)


def runs_of(pairs, seeds, settings, **changes):
    """The runs of `pairs`, seed by seed; `changes` of the recipe."""
    start = base(settings, **changes)
    if settings.quick:
        start = start.replace(epochs=2.0)
    costs = {}
    for seed in settings.seeds_of(seeds):
        for net, repeats in (member for pair in pairs for member in pair):
            reduced = {} if settings.quick or settings.full else {"repeats": repeats}
            config = start.replace(net=net, seed=seed, **reduced)
            if net not in costs:
                costs[net] = cost(config.network)
            yield Run(f"{net}_seed{seed}", config, {"net": net, "seed": seed, **costs[net]})


def cost(network):
    """Multiply-adds of one image and trainable parameters of config.Network's network."""
    from inception_tf.nets.anatomy import parts
    from inception_tf.runs.network import build_network

    rows = parts(build_network(network, 20))
    return {"multiply_adds": sum(row.multiply_adds for row in rows),
            "parameters": sum(row.parameters.trainable for row in rows)}


def epochs_to(rows, threshold):
    """Per run, the epoch at which its averaged weights' error first falls to `threshold`."""
    return [intervals.first_below(*intervals.curve(row), threshold) for row in rows]


def table(rows):
    """Markdown: cost, final errors, epochs to each threshold and their ratio, per pair."""
    lines = []
    for pair in PAIRS:
        if found := pairs_of(rows, pair):
            lines += [*_pair_table(pair, found), ""]
    return "\n".join([*lines, "Means over seeds with 95 % intervals; differences and ratios seed "
                      "by seed. A run that does not reach a threshold counts as reaching it at its "
                      "end, which makes a ratio too small: at least."])


def pairs_of(rows, pair):
    """(plain, residual) rows of each seed that has both, by seed."""
    found = {(row["facts"]["net"], row["facts"]["seed"]): row for row in rows}
    plain, residual = (net for net, _ in pair)
    seeds = sorted(seed for net, seed in found if net == plain and (residual, seed) in found)
    return [(found[plain, seed], found[residual, seed]) for seed in seeds]


def verdict(rows):
    """How many times faster each residual network reaches the lowest threshold, JUDGED or more,
    that all runs of its pair reached."""
    parts = []
    for pair in PAIRS:
        sides = list(zip(*pairs_of(finished(rows), pair), strict=True))
        reached = [t for t in THRESHOLDS if t >= JUDGED and sides
                   and None not in epochs_to(sum(sides, ()), t)]
        if not reached:
            continue
        ratio, low, high = intervals.ratio_and_interval(
            *(epochs_to(side, reached[-1]) for side in sides))
        interval = "" if math.isnan(low) else f" ({low:.2f} to {high:.2f})"
        parts.append(f"{NAMES[pair[1][0]]} reaches {100 * reached[-1]:.0f} % error "
                     f"{ratio:.2f}{interval} times as fast as {NAMES[pair[0][0]]}: "
                     f"{intervals.verdict(low, high, 1.0)}")
    return f"{'; '.join(parts)}."


def _pair_table(pair, found):
    plain_net, residual_net = (net for net, _ in pair)
    facts = [row["facts"] for row in found[0]]
    costs, sizes = ([f[name] for f in facts] for name in ("multiply_adds", "parameters"))
    lines = [f"| | {NAMES[plain_net]} | {NAMES[residual_net]} | |", "|---|---|---|---|",
             "| multiply-adds per image | {:.2f} M | {:.2f} M | {:.3f} times |".format(
                 *(c / 1e6 for c in costs), costs[1] / costs[0]),
             "| parameters | {:,} | {:,} | {:.3f} times |".format(*sizes, sizes[1] / sizes[0])]
    # A pair of which one ended non-finite has no difference and no ratio.
    whole = [rows for rows in found if len(finished(rows)) == 2]
    if broken := len(found) - len(whole):
        lines.append(f"| pairs left out, not finite | {broken} | | |")
    plain, residual = ([rows[side] for rows in whole] for side in (0, 1))
    finals = [[100 * intervals.curve(r)[1][-1] for r in group] for group in (plain, residual)]
    lines.append("| final top-1 error in % | {} | {} | {} less |".format(
        *map(intervals.text, finals),
        intervals.text([a - b for a, b in zip(*finals, strict=True)])))
    lines += [_threshold_line(t, plain, residual) for t in THRESHOLDS
              if any(epoch for epoch in epochs_to(plain + residual, t))]
    papers = EPOCHS_TO[plain_net], EPOCHS_TO[residual_net]
    return lines + [f"| the paper: epochs to {t} % on ImageNet | {papers[0][t]} | {papers[1][t]} "
                    f"| {papers[0][t] / papers[1][t]:.2f} times as fast |" for t in papers[0]]


def _threshold_line(threshold, plain, residual):
    name = f"| epochs to {100 * threshold:.0f} % error"
    ours, theirs = epochs_to(plain, threshold), epochs_to(residual, threshold)
    cells = [_reached(epochs) for epochs in (ours, theirs)]
    if None in theirs or all(e is None for e in ours):
        return f"{name} | {cells[0]} | {cells[1]} | |"
    at_least = "at least " if None in ours else ""
    ends = [intervals.curve(row)[0][-1] for row in plain]
    ours = [end if e is None else e for e, end in zip(ours, ends, strict=True)]
    ratio, low, high = intervals.ratio_and_interval(ours, theirs)
    interval = "" if math.isnan(low) else f" ({low:.2f} to {high:.2f})"
    return f"{name} | {cells[0]} | {cells[1]} | {at_least}{ratio:.2f}{interval} times as fast |"


def _reached(epochs):
    """The mean; if some are None, how many are not."""
    known = [e for e in epochs if e is not None]
    if len(known) < len(epochs):
        return f"{len(known)} of {len(epochs)} runs"
    return f"{intervals.mean_and_interval(known)[0]:.2f}"


def draw(rows, path):
    """A row of panels for each pair: error by epochs, by multiply-adds, and the paper's."""
    pairs = [pair for pair in PAIRS if pairs_of(rows, pair)]
    figure, axes = figures.new_figure(len(pairs), 3)
    for pair, (by_epochs, by_cost, papers) in zip(pairs, axes, strict=True):
        for net, _ in pair:
            own = [r for r in rows if r["facts"]["net"] == net]
            figures.band(by_epochs, own, NAMES[net], COLORS[net])
            figures.band(by_cost, own, NAMES[net], COLORS[net], per_epoch=_cost_of_epoch(own[0]))
            papers.plot(*zip(*TOP1[net].items(), strict=True), "o-", color=COLORS[net],
                        label=NAMES[net], markersize=3)
        by_epochs.set(xlabel="epochs", ylim=(0, 100),
                      title="this experiment, by epochs (95 % intervals)")
        by_cost.set(xlabel="multiply-adds of training / 10$^{12}$", ylim=(0, 100),
                    title="this experiment, by cost (95 % intervals)")
        papers.set(xlabel="epochs", ylim=(15, 35), title="the paper, 48,238 ImageNet images")
        for panel in (by_epochs, by_cost, papers):
            panel.set_ylabel("top-1 error (%)")
    return figures.finish(figure, axes, path)


def _cost_of_epoch(row):
    """10^12 multiply-adds of an epoch; backward passes cost twice a forward pass."""
    last, batch = row["train"][-1], row["config"]["optimization"]["global_batch"]
    return 3 * row["facts"]["multiply_adds"] * batch * last["step"] / last["epoch"] / 1e12


def main(argv):
    """Runs what is missing of the grid, then prints the tables and draws the figure."""
    run_experiment("residual_speedup", __doc__.splitlines()[0], grid, table, draw, argv,
                   more=(FULL,))


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
