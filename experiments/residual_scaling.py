"""Do very wide residual networks die, and does scaling the residuals keep them alive? (section 3.3)

    python -m experiments.residual_scaling            the full grid
    python -m experiments.residual_scaling --quick    one width, few steps, for its plumbing

Inception-ResNet-v2 (paper) at growing widths, the residuals times 1.0, 0.3, 0.2 or 0.1, and each
of these alone and with the remedies the paper found of no use: a tenth of the learning rate, batch
norm on the layer before the pool (after the last sum), and two phases of training (He et al.: a
very low rate first). Of every kept checkpoint: the share of units before the pool that
are zero for all pictures, and the size of activations after each block.
"""

import itertools
import sys

import numpy as np

from experiments import figures
from experiments.recipe import RECIPE, base
from experiments.runner import Run, run_experiment
from inception_tf.commands.shell import exit_code_of

# Of the last grid's 2,144 channels; the paper saw networks of more than 1,000 filters die.
WIDTHS = (0.1, 0.2, 0.5)
SCALES = (1.0, 0.3, 0.2, 0.1)
# The rates are shares of the recipe's.
REMEDIES = {
    "none": {},
    "rate / 10": {"learning_rate": 0.1},
    "batch norm before the pool": {"final_batch_norm": True},
    "two phases": {"warmup_epochs": 0.5, "warmup_rate": 0.01},
}
EPOCHS = 2.0
PROBE_IMAGES = 200


def grid(settings):
    """Every remedy at every scale and width; the quick form's two stand at opposite ends."""
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
    """Of each checkpoint of a run: step, share of dead units, size of each block's activations."""
    from inception_tf.evaluation.models import CHECKPOINTS, load_weights
    from inception_tf.runtime import checkpoint

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
    from inception_tf.data.crops import preprocessing_of
    from inception_tf.data.sources import open_source
    from inception_tf.evaluation.models import build_network
    from inception_tf.nets import endpoints

    source = open_source(config.data, config.data.eval_split)
    stream = scoring_batches(
        source, config.data, preprocessing=preprocessing_of(config.network, config.data),
        num_classes=source.num_classes, batch_size=min(PROBE_IMAGES, source.num_examples))
    images = next(stream)["image"]
    stream.close()
    model = build_network(config.network, source.num_classes, aux_head=False)
    points = {k: v for k, v in endpoints(model).items() if k.startswith("inception_")}
    # What the paper saw emit only zeros; under the remedy the batch norm stands behind it.
    behind = "final_bn" if config.network.final_batch_norm else "pre_logits"
    last = model.get_layer(behind).input
    return keras.Model(model.input, [*points.values(), last]), list(points), images


def arms(rows):
    """(scale, remedy, label) of the columns."""
    order = ["none", *REMEDIES]
    found = sorted({(row["facts"]["scale"], row["facts"]["remedy"]) for row in rows},
                   key=lambda arm: (order.index(arm[1]), -arm[0]))
    return [(scale, remedy, f"scale {scale:g}" + f", {remedy}" * (remedy != "none"))
            for scale, remedy in found]


def table(rows):
    """Markdown: share of dead units and error at the end, per width and arm."""
    widths = sorted({row["facts"]["width"] for row in rows})
    units = {r["facts"]["width"]: r["probe"][-1]["units"] for r in rows if r["probe"]}
    lines = ["| width | " + " | ".join(label for *_, label in arms(rows)) + " |",
             "|---|" + "---|" * len(arms(rows))]
    for width in widths:
        cells = [_cell(_of(rows, width, scale, remedy)) for scale, remedy, _ in arms(rows)]
        lines.append(f"| {width:g}, {units.get(width, '?')} units | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "Share of dead units before the pool, top-1 error of the raw "
                      "weights, at the end."])


def _cell(row):
    if row["outcome"] != "finished":
        return "not finite"
    error = row["validation"][-1]["raw_top1_error"]
    return f"{100 * row['probe'][-1]['dead_units']:.0f} % dead, {100 * error:.0f} % error"


def _of(rows, width, scale, remedy):
    wanted = {"width": width, "scale": scale, "remedy": remedy}
    (row,) = (row for row in rows if row["facts"] == wanted)
    return row


def draw(rows, path):
    """Heat map of dead units; of the widest network loss, and activations by time and by block."""
    widths = sorted({row["facts"]["width"] for row in rows})
    figure, axes = figures.new_figure(2, 2, width=14, height=5)
    (heat, loss), (over_time, by_block) = axes
    shares = [[_dead(_of(rows, width, scale, remedy)) for scale, remedy, _ in arms(rows)]
              for width in widths]
    _heat_map(figure, heat, shares, widths, [label for *_, label in arms(rows)])
    blocks = list(next((row["probe"][-1]["rms"] for row in rows if row["probe"]), []))
    for number, (scale, remedy, label) in enumerate(arms(rows)):
        row = _of(rows, widths[-1], scale, remedy)
        style = {"color": f"C{number}", "markersize": 3}
        loss.plot(*_column(row["train"], "epoch", "loss"), **style)
        if row["probe"]:
            over_time.plot([p["step"] for p in row["probe"]],
                           [p["rms"][blocks[-1]] for p in row["probe"]], "o-", **style)
            by_block.plot(range(len(blocks)), row["probe"][-1]["rms"].values(), "o-", **style,
                          label=label)
    by_block.set_xticks(range(len(blocks)),
                        [b.removeprefix("inception_resnet_").replace("_", "") for b in blocks])
    loss.grid(alpha=0.3)
    loss.set(xlabel="epochs", ylabel="training loss", yscale="log",
             title=f"width {widths[-1]:g} (colours: below)")
    # A dead network's are zero, which a logarithm has no place for.
    for panel in (over_time, by_block):
        panel.set_yscale("symlog", linthresh=1e-3)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    over_time.set(xlabel="updates", ylabel="root mean square",
                  title=f"activations after the last block, width {widths[-1]:g}")
    by_block.set(xlabel="block", ylabel="root mean square",
                 title=f"activations after each block at the end, width {widths[-1]:g}")
    return figures.finish(figure, axes, path)


def _dead(row):
    """NaN where a run ended without finite numbers."""
    return row["probe"][-1]["dead_units"] if row["outcome"] == "finished" else float("nan")


def _heat_map(figure, axes, shares, widths, labels):
    shown = axes.imshow(np.ma.masked_invalid(shares), vmin=0, vmax=1, cmap="magma_r",
                        aspect="auto")
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right",
                    fontsize=8)
    axes.set_yticks(range(len(widths)), [f"{width:g}" for width in widths])
    axes.invert_yaxis()
    for y, line in enumerate(shares):
        for x, share in enumerate(line):
            text = "not finite" if share != share else f"{100 * share:.0f} %"
            axes.text(x, y, text, ha="center", va="center", fontsize=7,
                      color="white" if share > 0.5 else "black")
    axes.set(ylabel="width", title="dead units before the pool")
    figure.colorbar(shown, ax=axes, label="share of dead units")


def _column(rows, x, y):
    return [row[x] for row in rows], [row[y] for row in rows]


def main(argv):
    """Runs what is missing of the grid, then prints the table and draws the figure."""
    run_experiment("residual_scaling", __doc__.splitlines()[0], grid, table, draw, argv)


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
