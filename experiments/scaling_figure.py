"""The picture of `residual_scaling`: dead units and error by scale, what scaling gains, and when
units die."""

import numpy as np

from experiments import figures, intervals
from experiments.residual_scaling import (
    REMEDIES,
    SCALES,
    comparisons,
    dead,
    error,
    of,
    values_of,
)
from experiments.rows import finished

COLORS = dict(zip(REMEDIES, ("black", "C0", "C1", "C2"), strict=True))
LABELS = {"none": "no remedy"}
MEASURES = ((dead, "dead units before the pool (%)"), (error, "top-1 error (%)"))


def draw(rows, path):
    """Upper rows: dead units, then error, a panel a width and one of gains; below: when units of
    the widest network die, a panel a remedy."""
    widths, remedies = values_of(rows, "width"), values_of(rows, "remedy")
    figure, axes = figures.new_figure(3, max(len(widths) + 1, len(remedies)), width=17, height=4.2)
    for (measure, name), line in zip(MEASURES, axes, strict=False):
        for width, panel in zip(widths, line, strict=False):
            _by_scale(panel, of(rows, width=width), measure)
            low, high = panel.get_ylim()
            # Intervals of few seeds leave what a share can be.
            panel.set(ylabel=name, title=f"width {width:g}", ylim=(max(low, -4), min(high, 104)))
        _forest(line[len(widths)], comparisons(rows, measure), values_of(rows, "scale")[-1])
        line[len(widths)].set_title(f"less {name.split(' (')[0]}\nthan unscaled, by seed")
    for remedy, panel in zip(remedies, axes[2], strict=False):
        _over_time(panel, of(rows, width=widths[-1], remedy=remedy))
        panel.set_title(f"width {widths[-1]:g}, {LABELS.get(remedy, remedy)}")
    for panel in axes.flat:
        panel.set_visible(panel.has_data())
    figure.suptitle("Inception-ResNet-v2 with residuals times 1, 0.3, 0.2 or 0.1: means and 95 % "
                    "intervals over seeds")
    return figures.finish(figure, axes, path)


def _by_scale(panel, rows, measure):
    """A line a remedy."""
    scales = values_of(rows, "scale")
    for number, remedy in enumerate(values_of(rows, "remedy")):
        cells = [finished(of(rows, remedy=remedy, scale=scale)) for scale in scales]
        places = [i + 0.06 * number for i, cell in enumerate(cells) if cell]
        points = [intervals.mean_and_interval(list(map(measure, cell))) for cell in cells if cell]
        _points(panel, places, points, fmt="o-", color=COLORS[remedy],
                label=LABELS.get(remedy, remedy))
    panel.set_xticks(range(len(scales)), [f"{scale:g}" for scale in scales])
    panel.set_xlabel("scale of the residuals")


def _forest(panel, found, scale):
    """Gains of one scale in each width and remedy, a line each."""
    shown = [(facts, intervals.mean_and_interval(values)) for facts, values in found
             if facts["scale"] == scale][::-1]
    for place, (facts, point) in enumerate(shown):
        mean, low, high = point
        panel.errorbar([mean], [place], xerr=_margins([(mean, low, high)]), fmt="o", capsize=3,
                       color=COLORS[facts["remedy"]])
    panel.set_yticks(range(len(shown)),
                     [f"{facts['width']:g}, {_short(facts['remedy'])}" for facts, _ in shown],
                     fontsize=8)
    panel.axvline(0, color="0.6", linewidth=1)
    panel.set_xlabel(f"points, scale {scale:g} against 1")
    panel.grid(alpha=0.3)


def _short(remedy):
    return LABELS.get(remedy, remedy).removesuffix(" before the pool")


def _over_time(panel, rows):
    """Share of dead units at each checkpoint, a line a scale."""
    for scale in values_of(rows, "scale"):
        probes = [row["probe"] for row in finished(of(rows, scale=scale))]
        curves = [[100 * point["dead_units"] for point in probe] for probe in probes]
        figures.mean_band(panel, probes and [point["step"] for point in probes[0]], curves,
                          f"scale {scale:g}", f"C{SCALES.index(scale)}")
    panel.set(xlabel="updates", ylabel="dead units before the pool (%)", ylim=(-4, 104))


def _points(panel, places, points, **style):
    if points:
        panel.errorbar(places, [mean for mean, _, _ in points], yerr=_margins(points), capsize=3,
                       markersize=4, **style)


def _margins(points):
    """What errorbar draws below and above; nothing where there is no interval."""
    sides = [(mean - low, high - mean) for mean, low, high in points]
    return np.nan_to_num(np.array(sides).T)
