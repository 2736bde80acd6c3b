"""Do very wide residual networks die, and does scaling the residuals keep them alive? (section 3.3)

    python -m experiments.residual_scaling            the full grid
    python -m experiments.residual_scaling --quick    one width, few steps, to try it out
    python -m experiments.residual_scaling --full     the network of the figures, on a GPU

Inception-ResNet-v2 (paper) at growing widths, the residuals times 1.0, 0.3, 0.2 or 0.1; each alone
and with the remedies that did not help in the paper: a tenth of the learning rate, batch norm on
the layer before the pool (after the last sum), and two phases of training (He et al.: a very low
rate first). Measured for every checkpoint: the share of units before the pool that are zero for all
pictures, and the size of activations after each block.
"""

import collections
import itertools
import sys

import numpy as np

from experiments import intervals
from experiments.recipe import RECIPE, base
from experiments.rows import finished, seed_of
from experiments.runner import FULL, Run, run_experiment
from inception_tf.commands.shell import exit_code_of
from inception_tf.config import Config

# Fractions of the last grid's 2,144 channels; in the paper networks over 1,000 filters died.
WIDTHS = (0.1, 0.2, 0.5)
SCALES = (1.0, 0.3, 0.2, 0.1)
# Rates are fractions of the recipe's.
REMEDIES = {
    "none": {},
    "rate / 10": {"learning_rate": 0.1},
    "batch norm before the pool": {"final_batch_norm": True},
    "two phases": {"warmup_epochs": 0.5, "warmup_rate": 0.01},
}
EPOCHS = 2.0
SEEDS = 3
PROBE_IMAGES = 200


def grid(settings):
    """Every remedy at every scale and width, three times.

    The order is that of worth, for a grid that is stopped: without remedies first, then the
    outermost scales.
    """
    widths, remedies, scales = WIDTHS, REMEDIES, SCALES
    if settings.quick:
        widths, remedies, scales = (0.07,), ("none", "batch norm before the pool"), (1.0, 0.1)
    elif settings.full:
        widths, remedies, scales = (1.0,), ("none",), (1.0, 0.1)
    cells = itertools.product(settings.seeds_of(range(SEEDS)), widths, remedies, scales)
    return runs_of(sorted(cells, key=_worth), settings, EPOCHS)


def _worth(cell):
    seed, _, remedy, scale = cell
    return seed > 0, remedy != "none", scale not in (SCALES[0], SCALES[-1])


def runs_of(cells, settings, epochs):
    """The run of each cell: (seed, width, remedy, scale)."""
    start = base(settings, repeats=(2, 4, 2), image_size=75, epochs=epochs, warmup_epochs=0.0,
                 dropout=0.0, clip_norm=0.0, checkpoint_every_epochs=0.5, eval_every_epochs=0.5,
                 keep=100, keep_best=0)
    for seed, width, remedy, scale in cells:
        config = start.replace(seed=seed, width=width, residual_scales=(scale,) * 3,
                               **_at_rate(REMEDIES[remedy]))
        name = f"width{width:g}_scale{scale:g}_{remedy.replace(' ', '_').replace('/', 'by')}"
        yield Run(f"{name}_seed{seed}" if seed else name, config,
                  {"width": width, "scale": scale, "remedy": remedy},
                  probe="experiments.residual_scaling:probe")


def _at_rate(changes):
    return {k: v * RECIPE["learning_rate"] if k in ("learning_rate", "warmup_rate") else v
            for k, v in changes.items()}


def probe(folder):
    """For each checkpoint of a run: step, share of dead units, size of each block's activations."""
    from inception_tf.runs import checkpoint
    from inception_tf.runs.folder import CHECKPOINTS
    from inception_tf.runs.network import load_weights

    config = Config.from_json((folder / "config.json").read_text())
    network, blocks, images = _network_to_probe(config)
    seen = []
    for step in checkpoint.steps(folder / CHECKPOINTS):
        arrays, _ = checkpoint.load(folder / CHECKPOINTS, step)
        load_weights(network, arrays, "raw")
        *grids, last = (np.asarray(v) for v in network(images, training=False))
        seen.append({
            "step": step,
            "units": int(last.shape[-1]),
            "dead_units": float((last.max(axis=(0, 1, 2)) <= 0).mean()),
            "rms": {name: float(np.sqrt(np.square(grid, dtype=np.float64).mean()))
                    for name, grid in zip(blocks, grids, strict=True)},
        })
    return seen


def _network_to_probe(config):
    """(model with the outputs of all blocks and the last grid, names of the blocks, images)."""
    import keras

    from inception_tf.data.batches import scoring_batches
    from inception_tf.data.open import open_source
    from inception_tf.data.views import preprocessing_of
    from inception_tf.nets import endpoints
    from inception_tf.runs.network import build_network

    source = open_source(config.data, config.data.eval_split)
    with scoring_batches(
            source, config.data, preprocessing=preprocessing_of(config.network, config.data),
            num_classes=source.num_classes,
            batch_size=min(PROBE_IMAGES, source.num_examples)) as stream:
        images = next(stream)["image"]
    model = build_network(config.network, source.num_classes, aux_head=False)
    points = {k: v for k, v in endpoints(model).items() if k.startswith("inception_")}
    # What emitted only zeros in the paper; with the remedy its batch norm comes after it.
    behind = "final_bn" if config.network.final_batch_norm else "pre_logits"
    last = model.get_layer(behind).input
    return keras.Model(model.input, [*points.values(), last]), list(points), images


def of(rows, **facts):
    """The rows with these facts, by seed."""
    found = [row for row in rows if facts.items() <= row["facts"].items()]
    return sorted(found, key=seed_of)


def values_of(rows, fact):
    """The values of a fact in `rows`, in the order of the constants above."""
    found = {row["facts"][fact] for row in rows}
    order = {"width": sorted(found), "scale": SCALES, "remedy": REMEDIES}[fact]
    return [value for value in order if value in found]


def dead(row):
    """Share of dead units at the end, in %."""
    return 100 * row["probe"][-1]["dead_units"]


def error(row):
    """Top-1 error of the raw weights at the end, in %."""
    return 100 * row["validation"][-1]["raw_top1_error"]


def gains(rows, measure, scale, **facts):
    """By how many points `measure` is less than unscaled, seed by seed; of pairs that finished."""
    plain, scaled = ({seed_of(row): measure(row) for row in finished(of(rows, scale=s, **facts))}
                     for s in (1.0, scale))
    return [plain[seed] - scaled[seed] for seed in sorted(plain.keys() & scaled.keys())]


def comparisons(rows, measure):
    """(facts, gains) of every scale below 1 at every width and remedy; those without pairs left
    out."""
    cells = itertools.product(values_of(rows, "width"), values_of(rows, "remedy"),
                              [scale for scale in values_of(rows, "scale") if scale < 1])
    found = [({"width": width, "remedy": remedy, "scale": scale},
              gains(rows, measure, scale, width=width, remedy=remedy))
             for width, remedy, scale in cells]
    return [(facts, values) for facts, values in found if values]


def table(rows):
    """Markdown: dead units and error at the end of every cell; what scaling gains in each."""
    scales = values_of(rows, "scale")
    lines = ["| width | remedy | " + " | ".join(f"scale {scale:g}" for scale in scales) + " |",
             "|---|---|" + "---|" * len(scales)]
    for width in values_of(rows, "width"):
        units = {r["probe"][-1]["units"] for r in of(rows, width=width) if r["probe"]}
        for remedy in values_of(rows, "remedy"):
            cells = [_cell(of(rows, width=width, scale=scale, remedy=remedy)) for scale in scales]
            lines.append(f"| {width:g}, {max(units, default='?')} units | {remedy} | "
                         + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "Dead units before the pool, top-1 error of the raw weights, at "
                      f"the end, in %; ± half of the 95 % interval over seeds. {_seeds(rows)}", "",
                      *_gain_table(rows), "", _count(rows)])


def _seeds(rows):
    """How many seeds the cells have."""
    cells = collections.Counter(tuple(row["facts"].values()) for row in rows)
    counts = sorted(collections.Counter(cells.values()).items(), reverse=True)
    return "Seeds: " + ", ".join(f"{seeds} in {number} cells" for seeds, number in counts) + "."


def _cell(rows):
    whole = finished(rows)
    if not whole:
        return "not finite" if rows else ""
    broken = f", {len(rows) - len(whole)} not finite" if len(whole) < len(rows) else ""
    return f"{_with_margin(map(dead, whole))} dead, {_with_margin(map(error, whole))} error{broken}"


def _with_margin(values):
    mean, _, high = intervals.mean_and_interval(list(values))
    return f"{mean:.0f}" + ("" if np.isnan(high) else f" ± {high - mean:.0f}")


def verdict(rows):
    """What the smallest scale gains the widest network without a remedy."""
    facts = {"width": values_of(rows, "width")[-1], "remedy": "none"}
    scale = values_of(rows, "scale")[-1]
    share = [_with_margin(map(dead, finished(of(rows, scale=s, **facts)))) for s in (1.0, scale)]
    return (f"Of the units before the pool of the widest network {share[0]} % die unscaled and "
            f"{share[1]} % with residuals times {scale:g}, fewer by "
            f"{intervals.judged(gains(rows, dead, scale, **facts))}; its error is less by "
            f"{intervals.judged(gains(rows, error, scale, **facts))}.")


def _gain_table(rows):
    """Lines of a table: points gained against the unscaled network, paired by seed."""
    scales = [scale for scale in values_of(rows, "scale") if scale < 1]
    lines = ["| width | remedy | measured | "
             + " | ".join(f"less with scale {scale:g}" for scale in scales) + " |",
             "|---|---|---|" + "---|" * len(scales)]
    for width, remedy in itertools.product(values_of(rows, "width"), values_of(rows, "remedy")):
        for name, measure in (("dead units", dead), ("error", error)):
            found = [gains(rows, measure, scale, width=width, remedy=remedy) for scale in scales]
            cells = [intervals.text(values) if values else "" for values in found]
            lines.append(f"| {width:g} | {remedy} | {name} | " + " | ".join(cells) + " |")
    return lines


def _count(rows):
    """How many comparisons say what, in one paragraph."""
    parts = []
    for name, measure in (("dead units", dead), ("error", error)):
        found = [intervals.mean_and_interval(values) for _, values in comparisons(rows, measure)]
        parts.append(
            f"{name}: of {len(found)} comparisons with the unscaled network less in "
            f"{sum(mean > 0 for mean, _, _ in found)}, with an interval above zero in "
            f"{sum(low > 0 for _, low, _ in found)}; more in "
            f"{sum(mean < 0 for mean, _, _ in found)}, with an interval below zero in "
            f"{sum(high < 0 for _, _, high in found)}")
    return "Points, paired by seed, with 95 % intervals. " + ". ".join(
        part[0].upper() + part[1:] for part in parts) + "."


def main(argv):
    """Runs what is missing of the grid, then prints the table and draws the figure."""
    from experiments.scaling_figure import draw

    run_experiment("residual_scaling", __doc__.splitlines()[0], grid, table, draw, argv,
                   more=(FULL,))


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
