"""Learning curves as one picture, drawn from the metrics files alone."""

import gc
import os
from collections.abc import Mapping
from pathlib import Path

from inception_tf.runs.metrics import read_metrics


def draw_curves(model_dir: str | os.PathLike, title: str,
                paper: Mapping[int, float] | None = None) -> Path:
    """Writes MODEL_DIR/curves.png: error against epochs, and the training loss.

    Reads train/metrics.csv and validation/metrics.csv of `model_dir`; returns the
    picture's path. `paper`: epoch -> top-1 error in percent, drawn beside.

    Raises: UsageError when one of them is damaged.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    train = read_metrics(Path(model_dir) / "train" / "metrics.csv")
    validation = read_metrics(Path(model_dir) / "validation" / "metrics.csv")
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw(left, train, "error", "training, distorted images", color="0.75", linewidth=1)
    _draw(left, validation, "raw_top1_error", "validation, raw weights", marker=".", color="C0")
    _draw(left, validation, "ema_top1_error", "validation, averaged weights", marker=".",
          color="C3")
    _draw(left, validation, "ema_top5_error", "top-5, averaged weights", marker=".",
          color="C3", linestyle=":")
    if paper:
        left.plot(list(paper), [error / 100 for error in paper.values()], color="k", marker="x",
                  linestyle="--", linewidth=1, label="top-1, the paper's run")
    left.set(xlabel="epochs", ylabel="error", ylim=(0, 1), title=title)
    left.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    _draw(right, train, "cross_entropy", "cross-entropy, training", color="C2", linewidth=1)
    right.set(xlabel="epochs", ylabel="nats", title="loss and learning rate")
    rate = right.twinx()
    _draw(rate, train, "learning_rate", "learning rate", color="0.5", linestyle="--")
    rate.set(ylabel="learning rate", ylim=(0, None))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    path = Path(model_dir) / "curves.png"
    figure.savefig(path, dpi=110)
    gc.collect()  # its parts name each other: 40 MB of pictures would lie about
    return path


def _draw(axes, rows, column, label, **style):
    rows = [row for row in rows if column in row]
    axes.plot([row["epoch"] for row in rows], [row[column] for row in rows], label=label, **style)
