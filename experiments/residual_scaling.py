"""Do very wide residual networks die, and does scaling the residuals keep them alive? (section 3.3)

    python -m experiments.residual_scaling            the full grid
    python -m experiments.residual_scaling --quick    one width, few steps, to try it out

Inception-ResNet-v2 (paper) at growing widths, the residuals times 1.0, 0.3, 0.2 or 0.1; each alone
and with the remedies that did not help in the paper: a tenth of the learning rate, batch norm on
the layer before the pool (after the last sum), and two phases of training (He et al.: a very low
rate first). Measured for every checkpoint: the share of units before the pool that are zero for all
pictures, and the size of activations after each block.
"""

import itertools
import sys

import numpy as np

from experiments import figures
from experiments.recipe import RECIPE, base
from experiments.runner import Run, run_experiment
from inception_tf.commands.shell import exit_code_of

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
PROBE_IMAGES = 200


def grid(settings):
    """Every remedy at every scale and width."""
    start = base(settings, repeats=(2, 4, 2), image_size=75, epochs=EPOCHS, warmup_epochs=0.0,
                 dropout=0.0, clip_norm=0.0, checkpoint_every_epochs=0.5,
                 eval_every_epochs=0.5, keep=100, keep_best=0)
    widths, scales, remedies = WIDTHS, SCALES, list(REMEDIES)
    if settings.quick:
        widths, scales, remedies = (0.07,), SCALES[::3], ["none", "batch norm before the pool"]
    for width, remedy, scale in itertools.product(widths, remedies, scales):
        yield _run(start, width, scale, remedy, _at_rate(REMEDIES[remedy]))


def _at_rate(changes):
    return {k: v * RECIPE["learning_rate"] if k in ("learning_rate", "warmup_rate") else v
            for k, v in changes.items()}


def _run(start, width, scale, remedy, changes):
    config = start.replace(width=width, residual_scales=(scale,) * 3, **changes)
    name = f"width{width:g}_scale{scale:g}_{remedy.replace(' ', '_').replace('/', 'by')}"
    facts = {"width": width, "scale": scale, "remedy": remedy}
    return Run(name, config, facts, probe=lambda folder: probe(folder, config))


def probe(folder, config):
    """For each checkpoint of a run: step, share of dead units, size of each block's activations."""
    from inception_tf.runs import checkpoint
    from inception_tf.runs.folder import CHECKPOINTS
    from inception_tf.runs.network import load_weights

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


def values_of(rows, fact):
    """The values of a fact in `rows`, in the order of the constants above."""
    found = {row["facts"][fact] for row in rows}
    order = {"width": sorted(found), "scale": SCALES, "remedy": REMEDIES}[fact]
    return [value for value in order if value in found]


def table(rows):
    """Markdown: share of dead units and error at the end, per width, remedy and scale."""
    scales = values_of(rows, "scale")
    lines = ["| width | remedy | " + " | ".join(f"scale {scale:g}" for scale in scales) + " |",
             "|---|---|" + "---|" * len(scales)]
    for width in values_of(rows, "width"):
        units = {r["probe"][-1]["units"] for r in _of(rows, width=width) if r["probe"]}
        for remedy in values_of(rows, "remedy"):
            cells = [_cell(*_of(rows, width=width, scale=scale, remedy=remedy))
                     for scale in scales]
            lines.append(f"| {width:g}, {max(units, default='?')} units | {remedy} | "
                         + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "Share of dead units before the pool, top-1 error of the raw "
                      "weights, at the end."])


def _cell(row):
    if row["outcome"] != "finished":
        return "not finite"
    error = row["validation"][-1]["raw_top1_error"]
    return f"{100 * row['probe'][-1]['dead_units']:.0f} % dead, {100 * error:.0f} % error"


def _of(rows, **facts):
    return [row for row in rows if facts.items() <= row["facts"].items()]


def draw(rows, path):
    """Heat maps of dead units, one per width; loss and activations of the widest, by remedy."""
    widths, remedies = values_of(rows, "width"), values_of(rows, "remedy")
    # One more than there are widths, for the colour bar.
    columns = max(len(widths) + 1, len(remedies))
    figure, axes = figures.new_figure(4, columns, width=15, height=3.2)
    for panel, width in zip(axes[0], widths, strict=False):
        shown = _heat_map(panel, _of(rows, width=width), remedies)
        panel.set_title(f"width {width:g}: dead units before the pool,\nbelow them the error",
                        fontsize=10)
    for panel in axes[0, len(widths):]:
        panel.set_axis_off()
    figure.colorbar(shown, ax=axes[0, len(widths)], location="left", fraction=0.5,
                    label="share of dead units")
    for line, label in zip(axes[1:], ("training loss", "activations after the last block,\n"
                                      "root mean square", "activations at the end,\n"
                                      "root mean square"), strict=True):
        line[0].set_ylabel(label)
        for panel in line[1:]:
            panel.sharey(line[0])
    for remedy, panels in zip(remedies, axes[1:].T, strict=False):
        _curves(panels, _of(rows, width=widths[-1], remedy=remedy))
        panels[0].set_title(f"width {widths[-1]:g}, remedy:\n{remedy}", fontsize=10)
    return figures.finish(figure, axes, path)


def _curves(panels, rows):
    """One remedy, a line per scale: loss, activations by time, activations by block."""
    loss, over_time, by_block = panels
    for row in rows:
        scale = row["facts"]["scale"]
        style = {"color": f"C{SCALES.index(scale)}", "markersize": 3, "label": f"scale {scale:g}"}
        loss.plot(*_column(row["train"], "epoch", "loss"), **style)
        if row["probe"]:
            steps = [p["step"] for p in row["probe"]]
            over_time.plot(steps, [list(p["rms"].values())[-1] for p in row["probe"]], "o-",
                           **style)
            blocks, sizes = zip(*row["probe"][-1]["rms"].items(), strict=True)
            by_block.plot(range(len(blocks)), sizes, "o-", **style)
            by_block.set_xticks(range(len(blocks)), [
                b.removeprefix("inception_resnet_").replace("_", "") for b in blocks])
    # A dead network's activations are zero: no logarithm.
    for panel in (over_time, by_block):
        panel.set_yscale("symlog", linthresh=1e-2)
    for panel, name in zip(panels, ("epochs", "updates", "block"), strict=True):
        panel.set_xlabel(name)


def _heat_map(axes, rows, remedies):
    """One width's share of dead units, remedy by scale; NaN if a run ended non-finite."""
    scales = values_of(rows, "scale")
    cells = [[_of(rows, scale=scale, remedy=remedy)[0] for scale in scales]
             for remedy in remedies]
    shares = [[row["probe"][-1]["dead_units"] if row["outcome"] == "finished" else np.nan
               for row in line] for line in cells]
    shown = axes.imshow(np.ma.masked_invalid(shares), vmin=0, vmax=1, cmap="magma_r",
                        aspect="auto")
    axes.set_xticks(range(len(scales)), [f"{scale:g}" for scale in scales])
    axes.set_yticks(range(len(remedies)), [r.replace(" before", "\nbefore") for r in remedies],
                    fontsize=8)
    axes.set_xlabel("scale of the residuals")
    for y, line in enumerate(cells):
        for x, row in enumerate(line):
            text = _cell(row).replace(" dead", "").replace(" error", "").replace(", ", "\n")
            axes.text(x, y, text, ha="center", va="center", fontsize=8,
                      color="white" if shares[y][x] > 0.5 else "black")
    return shown


def _column(rows, x, y):
    return [row[x] for row in rows], [row[y] for row in rows]


def main(argv):
    """Runs what is missing of the grid, then prints the table and draws the figure."""
    run_experiment("residual_scaling", __doc__.splitlines()[0], grid, table, draw, argv)


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
