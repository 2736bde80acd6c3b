"""Which optimizer? The paper's RMSProp against what later code made of it, and against momentum.

    python -m experiments.optimizer [--quick]

TF1's RMSProp starts its mean square at one, Keras' at zero; with epsilon 1.0 inside the root the
paper's first steps then differ by 38 %. A small epsilon makes RMSProp adapt; with 1.0 it hardly
does and is close to momentum. One small Inception-v3, every optimizer at learning rates a factor
of about three apart, the best of which is compared.
"""

import sys

from experiments import figures, statistics
from experiments.runner import Run, run_experiment
from inception_tf.commands.shell import exit_code_of
from inception_tf.config import preset

# label -> (settings, learning rates tried)
ARMS = {
    "RMSProp of TF1, epsilon 1": ({"optimizer": "rmsprop", "epsilon": 1.0}, (0.045, 0.15, 0.45)),
    "RMSProp of Keras, epsilon 1": ({"optimizer": "rmsprop_keras", "epsilon": 1.0},
                                    (0.045, 0.15, 0.45)),
    "RMSProp of TF1, epsilon 1e-6": ({"optimizer": "rmsprop", "epsilon": 1e-6},
                                     (0.00015, 0.0005, 0.0015)),
    "RMSProp of Keras, epsilon 1e-6": ({"optimizer": "rmsprop_keras", "epsilon": 1e-6},
                                       (0.00015, 0.0005, 0.0015)),
    "momentum": ({"optimizer": "momentum"}, (0.045, 0.15, 0.45)),
}
SEEDS = 3
EPOCHS = 6.0


def grid(settings):
    """Every arm at every rate, seed by seed."""
    base = preset("demo").replace(net="inception_v3", width=0.2, repeats=(1, 2, 1), epochs=EPOCHS,
                                  **settings.data)
    if settings.quick:
        base = base.replace(width=0.07, image_size=75, epochs=1.0, log_every_steps=5,
                            global_batch=16, replica_batch=16, train_split="train[:80]",
                            eval_split="validation[:40]")
    for seed in range(1 if settings.quick else SEEDS):
        for label, (arm, rates) in ARMS.items():
            for rate in rates[:1] if settings.quick else rates:
                config = base.replace(seed=seed, learning_rate=rate, **arm)
                name = f"{arm['optimizer']}_{config.optimization.epsilon:g}_{rate:g}_seed{seed}"
                yield Run(name, config, {"label": label, "rate": rate, "seed": seed})


def best_rows(rows, label):
    """The rows of the learning rate with the lowest mean final error of this arm."""
    own = [r for r in rows if r["facts"]["label"] == label and r["outcome"] == "finished"]
    by_rate = {}
    for row in own:
        by_rate.setdefault(row["facts"]["rate"], []).append(row)
    complete = max(map(len, by_rate.values()))
    return min((group for group in by_rate.values() if len(group) == complete),
               key=lambda group: sum(map(_final, group)))


def table(rows):
    """Markdown: each arm at its best rate."""
    lines = ["| optimizer | best rate of those tried | seeds | top-1 error (95 % interval) |",
             "|---|---|---|---|"]
    for label in ARMS:
        best = best_rows(rows, label)
        errors = statistics.text([100 * _final(r) for r in best])
        rates = ", ".join(f"{rate:g}" for rate in ARMS[label][1])
        lines.append(f"| {label} | {best[0]['facts']['rate']:g} of {rates} | {len(best)} | "
                     f"{errors} % |")
    return "\n".join(lines)


def draw(rows, path):
    """Error against epochs, each arm at its best rate."""
    figure, axes = figures.new_figure(1, 1, width=8, height=5)
    for number, label in enumerate(ARMS):
        best = best_rows(rows, label)
        figures.band(axes[0][0], best, f"{label}, rate {best[0]['facts']['rate']:g}",
                     f"C{number}")
    axes[0][0].set(xlabel="epochs", ylabel="top-1 error (%)", ylim=(0, 100),
                   title="a small Inception-v3, each optimizer at its best rate")
    return figures.finish(figure, axes, path)


def _final(row):
    return statistics.curve(row)[1][-1]


def main(argv):
    """Runs what is missing of the grid, then prints the table and draws the figure."""
    run_experiment("optimizer", __doc__.splitlines()[0], grid, table, draw, argv)


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
