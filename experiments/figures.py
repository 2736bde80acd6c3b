"""What the experiments' figures share: a mean over seeds with its interval, a saved picture."""

from experiments import intervals
from experiments.runner import finished


def new_figure(rows, columns, width=13.0, height=4.0):
    """(figure, axes [rows, columns])."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def band(axes, rows, label, color, column="ema_top1_error", per_epoch=1.0):
    """Mean error in % over the seeds that finished and its 95 % interval, against epochs (times
    `per_epoch`)."""
    rows = finished(rows)
    if not rows:
        return
    curves = [intervals.curve(row, column) for row in rows]
    xs = [per_epoch * e for e in curves[0][0]]
    points = [intervals.mean_and_interval([100 * v for v in values])
              for values in zip(*(c[1] for c in curves), strict=True)]
    means, lows, highs = zip(*points, strict=True)
    seeds = f"{len(rows)} seed{'s' if len(rows) > 1 else ''}"
    axes.plot(xs, means, color=color, label=f"{label} ({seeds})")
    axes.fill_between(xs, lows, highs, color=color, alpha=0.2)


def finish(figure, axes, path):
    """Grid and legend of every panel with curves; saves the picture and returns its path."""
    for panel in axes.flat:
        if panel.get_legend_handles_labels()[0]:
            panel.grid(alpha=0.3)
            panel.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    return path
