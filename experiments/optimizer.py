"""Which optimizer? The paper's RMSProp against Keras' variant, and against momentum.

    python -m experiments.optimizer [--quick]

TF1's RMSProp starts its mean square at one, Keras' at zero; with epsilon 1.0 inside the root the
paper's first steps then differ by 38 %. A small epsilon makes RMSProp adapt; with 1.0 it hardly
does and is close to momentum. One small Inception-v3 with every optimizer, each at learning rates
a factor of about three apart, of which the best is compared.
"""

import math
import sys

from experiments import figures, intervals
from experiments.recipe import base
from experiments.rows import finished
from experiments.runner import Run, run_experiment
from inception_tf.commands.shell import exit_code_of

# label -> (settings, learning rates tried)
LARGE, SMALL = (0.005, 0.015, 0.045, 0.15), (0.00005, 0.00015, 0.0005, 0.0015)
ARMS = {
    "RMSProp of TF1, epsilon 1": ({"optimizer": "rmsprop", "epsilon": 1.0}, LARGE),
    "RMSProp of Keras, epsilon 1": ({"optimizer": "rmsprop_keras", "epsilon": 1.0}, LARGE),
    "RMSProp of TF1, epsilon 1e-6": ({"optimizer": "rmsprop", "epsilon": 1e-6}, SMALL),
    "RMSProp of Keras, epsilon 1e-6": ({"optimizer": "rmsprop_keras", "epsilon": 1e-6}, SMALL),
    "momentum": ({"optimizer": "momentum"}, LARGE),
}
# The rate is chosen on seed 0 and judged on the others, so that no error is the best of four.
SEEDS = (1, 2, 3, 4)
SEARCH_EPOCHS, EPOCHS = 4.0, 6.0


def search(settings):
    """Every arm at every rate, seed 0."""
    for label, rates in _arms(settings).items():
        for rate in rates:
            yield _run(settings, label, rate, 0, SEARCH_EPOCHS)


def confirm(settings, rows):
    """Every arm at its best rate in `rows`, the other seeds."""
    for seed in settings.seeds_of(SEEDS):
        for label in _arms(settings):
            yield _run(settings, label, best_rate(rows, label), seed, EPOCHS)


def _arms(settings):
    """label -> learning rates to try."""
    arms = {label: rates for label, (_, rates) in ARMS.items()}
    return {label: arms[label][:1] for label in list(arms)[::4]} if settings.quick else arms


def _run(settings, label, rate, seed, epochs):
    arm = ARMS[label][0]
    config = base(settings, net="inception_v3", repeats=(1, 2, 1), epochs=epochs,
                  learning_rate=rate, **arm).replace(seed=seed)
    name = f"{arm['optimizer']}_{config.optimization.epsilon:g}_{rate:g}_seed{seed}"
    return Run(name, config, {"label": label, "rate": rate, "seed": seed})


def best_rate(rows, label):
    """The rate with the lowest error on seed 0; the first if every run ended non-finite."""
    tried = [r for r in rows if r["facts"]["label"] == label and r["facts"]["seed"] == 0]
    return min(tried, key=_final)["facts"]["rate"]


def confirmed(rows, label):
    """The rows of the seeds that did not choose the rate, by seed."""
    found = [r for r in rows if r["facts"]["label"] == label and r["facts"]["seed"]]
    return sorted(found, key=lambda row: row["facts"]["seed"])


def table(rows):
    """Markdown: each arm at its best rate."""
    lines = ["| optimizer | rates tried on seed 0: top-1 error | best rate, other seeds: "
             "top-1 error (95 % interval) | less than the first, in points | seeds |",
             "|---|---|---|---|---|"]
    first = confirmed(rows, rows[0]["facts"]["label"])
    for label in _labels(rows):
        tried = [f"{r['facts']['rate']:g}: {_text([r])}"
                 for r in sorted(rows, key=lambda row: row["facts"]["rate"])
                 if r["facts"]["label"] == label and not r["facts"]["seed"]]
        judged = confirmed(rows, label)
        lines.append(f"| {label} | {', '.join(tried)} | {judged[0]['facts']['rate']:g}: "
                     f"{_text(judged)} | {_less(first, judged)} | {len(judged)} |")
    return "\n".join(lines)


def verdict(rows):
    """What a small epsilon gains."""
    large, small = (confirmed(rows, f"RMSProp of TF1, epsilon {e}") for e in ("1", "1e-6"))
    gains = [100 * (_final(a) - _final(b)) for a, b in zip(large, small, strict=True)]
    return ("More error with epsilon 1.0 than with 1e-6, TF1's RMSProp: "
            f"{intervals.judged(gains)}.")


def _less(first, judged):
    """Text: how much lower the error of `judged` is, seed by seed; empty for `first` itself."""
    pairs = zip(first, judged, strict=True)
    gains = [100 * (_final(a) - _final(b)) for a, b in pairs if len(finished((a, b))) == 2]
    return intervals.text(gains) if gains and judged != first else ""


def draw(rows, path):
    """Error against epochs, each arm at its best rate."""
    figure, axes = figures.new_figure(1, 1, width=8, height=5)
    for number, label in enumerate(_labels(rows)):
        judged = confirmed(rows, label)
        figures.band(axes[0][0], judged, f"{label}, rate {judged[0]['facts']['rate']:g}",
                     f"C{number}")
    axes[0][0].set(xlabel="epochs", ylabel="top-1 error (%)", ylim=(0, 100),
                   title="a small Inception-v3, each optimizer at its best rate (95 % intervals)")
    return figures.finish(figure, axes, path)


def _labels(rows):
    return dict.fromkeys(row["facts"]["label"] for row in rows)


def _final(row):
    """Error at the end; infinite for a run that ended non-finite."""
    return intervals.curve(row)[1][-1] if row["outcome"] == "finished" else math.inf


def _text(rows):
    errors = [100 * _final(row) for row in rows]
    return "not finite" if math.inf in errors else f"{intervals.text(errors)} %"


def main(argv):
    """Runs what is missing of the grids, then prints the table and draws the figure."""
    run_experiment("optimizer", __doc__.splitlines()[0], search, table, draw, argv, then=confirm)


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
