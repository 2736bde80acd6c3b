"""Does a demo trained in bfloat16 end where one in float32 does?

    python -m experiments.sixteen_bits [--quick]

The recipe of `--preset=demo`, whole, in either precision, pairs of the same seed.
"""

import itertools
import sys

from experiments import figures, intervals
from experiments.recipe import quick_of
from experiments.rows import finished, seed_of
from experiments.runner import Run, run_experiment
from inception_tf.commands.shell import exit_code_of
from inception_tf.config import preset

PRECISIONS = ("float32", "mixed_bfloat16")
SEEDS = 5


def grid(settings):
    """Either precision, seed by seed."""
    for seed, precision in itertools.product(settings.seeds_of(range(SEEDS)), PRECISIONS):
        changes = {**quick_of(settings), **settings.data}
        config = preset("demo").replace(**changes).replace(precision=precision, seed=seed)
        yield Run(f"{precision}_seed{seed}", config, {"precision": precision, "seed": seed})


def ends(rows):
    """precision -> seed -> top-1 error in % of the averaged weights at the end."""
    found = {precision: {} for precision in PRECISIONS}
    for row in finished(rows):
        found[row["facts"]["precision"]][seed_of(row)] = 100 * intervals.curve(row)[1][-1]
    return found


def differences(rows):
    """Points by which bfloat16's error is the larger, of the seeds that both finished."""
    plain, half = (ends(rows)[precision] for precision in PRECISIONS)
    return [half[seed] - plain[seed] for seed in sorted(plain.keys() & half.keys())]


def table(rows):
    """Markdown: the error of each seed, and its mean with an interval."""
    seeds = sorted({seed_of(row) for row in rows})
    lines = ["| top-1 error at the end | " + " | ".join(f"seed {seed}" for seed in seeds)
             + " | mean (95 % interval) |", "|---|" + "---|" * (len(seeds) + 1)]
    for precision, found in ends(rows).items():
        cells = [f"{found[seed]:.2f} %" if seed in found else "" for seed in seeds]
        lines.append(f"| {precision} | {' | '.join(cells)} | "
                     f"{intervals.text(list(found.values()))} % |")
    return "\n".join(lines)


def verdict(rows):
    """The difference, over pairs."""
    return ("Points by which the error in mixed_bfloat16 is the larger, pairs of a seed: "
            f"{intervals.text(differences(rows))}.")


def draw(rows, path):
    """Error against epochs, a line a precision."""
    figure, axes = figures.new_figure(1, 1, width=8, height=5)
    for number, precision in enumerate(PRECISIONS):
        own = [row for row in finished(rows) if row["facts"]["precision"] == precision]
        figures.band(axes[0][0], own, precision, f"C{number}")
    axes[0][0].set(xlabel="epochs", ylabel="top-1 error (%)", ylim=(0, 100),
                   title="the demo in either precision (95 % intervals)")
    return figures.finish(figure, axes, path)


def main(argv):
    """Runs what is missing of the grid, then prints the table and draws the figure."""
    run_experiment("sixteen_bits", __doc__.splitlines()[0], grid, table, draw, argv)


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
