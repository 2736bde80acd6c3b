"""What the experiments' figures share: a mean over seeds with its interval, a saved picture."""

from experiments import intervals
from experiments.rows import finished


def new_figure(rows, columns, width=13.0, height=4.0):
    """(figure, axes [rows, columns])."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def band(axes, rows, label, color, column="ema_top1_error", per_epoch=1.0):
    """Mean error in % over the seeds that finished and its 95 % interval, against epochs (times
    `per_epoch`)."""
    curves = [intervals.curve(row, column) for row in finished(rows)]
    mean_band(axes, curves and [per_epoch * epoch for epoch in curves[0][0]],
              [[100 * value for value in values] for _, values in curves], label, color)


def mean_band(axes, xs, curves, label, color):
    """Mean of several curves over the same `xs` and its 95 % interval; nothing without curves.

    Args:
        axes: a panel.
        xs: places, as many as each curve has values.
        curves: values of each seed.
        label: in the legend, with the number of seeds.
        color: of the line.
    """
    if not curves:
        return
    points = [intervals.mean_and_interval(values) for values in zip(*curves, strict=True)]
    means, lows, highs = zip(*points, strict=True)
    seeds = f"{len(curves)} seed{'s' if len(curves) > 1 else ''}"
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
