"""The pictures of a scoring, each a matplotlib Figure drawn from Outcomes alone.

Names of classes are untrusted text: matplotlib sees them `labels.short`, never as they are.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from inception_tf.evaluation.report.outcomes import (
    Outcomes,
    by_class,
    confusion,
    worst_classes,
    worst_pairs,
)
from inception_tf.evaluation.scores import NUM_BINS, reliability, wilson_interval
from inception_tf.labels import short

WIDTH = 9.5
# Classes that have a line each; of more, the curve of all and the worst.
MAX_LINES = 40
NUM_WORST = 30
NUM_PAIRS = 20
# Classes of the matrix next to the worst pairs.
MAX_MATRIX = 16
SHEET_COLUMNS = 6
BLUE, RED, GREY = "#3465a4", "#c4412f", "0.6"


def draw_class_errors(outcomes: Outcomes, names: Sequence[str]) -> Figure:
    """Top-1 error of every class with its 95 % interval, worst first."""
    numbers, errors = by_class(outcomes)
    order = worst_classes(numbers, errors)
    if len(order) <= MAX_LINES:
        figure = _figure(1.4 + 0.22 * len(order))
        _class_lines(figure.subplots(), order, numbers, errors, names)
        return figure
    figure = _figure(1.4 + 0.22 * NUM_WORST)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    _class_curve(left, order, numbers, errors)
    _class_lines(right, order[:NUM_WORST], numbers, errors, names)
    right.set_title(f"the {NUM_WORST} worst")
    return figure


def _class_lines(axes, order, numbers, errors, names):
    rates, low, high = _rates(errors[order], numbers[order])
    places = np.arange(len(order))
    axes.errorbar(rates, places, xerr=(rates - low, high - rates), fmt="o", color=RED,
                  ecolor=GREY, markersize=4, capsize=2, linewidth=1)
    axes.set_yticks(places, [f"{short(names[k])}  ({numbers[k]})" for k in order], fontsize=8)
    end = 1.03 * high.max()
    axes.set(xlabel="top-1 error, 95 % interval (number of images)", xlim=(-0.015 * end, end),
             ylim=(len(order) - 0.4, -0.6))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)


def _class_curve(axes, order, numbers, errors):
    rates, low, high = _rates(errors[order], numbers[order])
    ranks = np.arange(1, len(order) + 1)
    axes.fill_between(ranks, low, high, color=GREY, alpha=0.4, linewidth=0, label="95 % interval")
    axes.plot(ranks, rates, color=RED, label="error of a class")
    axes.axhline(rates.mean(), color=BLUE, linestyle="--",
                 label=f"mean over classes {100 * rates.mean():.1f} %")
    axes.set(xlabel=f"{len(order)} classes, worst first", ylabel="top-1 error", ylim=(0, 1),
             xlim=(1, len(order)))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def draw_confusions(outcomes: Outcomes, names: Sequence[str]) -> Figure:
    """The most frequent confusions: how often, and a matrix of the classes that take part."""
    pairs = worst_pairs(outcomes, NUM_PAIRS)
    figure = _figure(1.6 + 0.24 * max(len(pairs), 12))
    if not pairs:
        figure.text(0.5, 0.5, "no mistake", ha="center")
        return figure
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    _pair_bars(left, pairs, names)
    both = (k for pair in pairs for k in (pair.true, pair.predicted))
    classes = sorted(list(dict.fromkeys(both))[:MAX_MATRIX])
    _matrix(right, confusion(outcomes, classes), by_class(outcomes)[0][classes],
            [names[k] for k in classes])
    return figure


def _pair_bars(axes, pairs, names):
    places = np.arange(len(pairs))
    counts = [pair.images for pair in pairs]
    bars = axes.barh(places, counts, color=RED, height=0.7)
    axes.bar_label(bars, [f"{p.images} of {p.total}" for p in pairs], padding=3, fontsize=8)
    axes.set_yticks(places, [f"{short(names[p.true], 22)} \N{RIGHTWARDS ARROW} "
                             f"{short(names[p.predicted], 22)}" for p in pairs],
                    fontsize=8)
    axes.set(xlabel="images of the first class called the second", ylim=(len(pairs) - 0.4, -0.6),
             xlim=(0, 1.3 * max(counts)))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _matrix(axes, counts, numbers, names):
    """counts [C, C]; colours are shares of the images of each row's class."""
    shares = counts / np.maximum(numbers, 1)[:, np.newaxis]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(column, row, str(count), ha="center", va="center", fontsize=7,
                      color="white" if shares[row, column] > 0.6 else "black")
    places, labels = range(len(names)), [short(name, 18) for name in names]
    axes.set_xticks(places, labels, rotation=90, fontsize=8)
    axes.set_yticks(places, labels, fontsize=8)
    axes.set(xlabel="predicted", ylabel="true class")
    axes.set_title("images, coloured by share of the true class", fontsize=9)


def draw_mistakes(tiles: Sequence[tuple[np.ndarray, str, str]]) -> Figure:
    """A sheet of images: `tiles` are (pixels [h, w, 3] uint8, caption above, caption below).

    Names in captions are `labels.short`.
    """
    rows = max(1, -(-len(tiles) // SHEET_COLUMNS))
    figure = _figure(2.05 * rows)
    for axes in figure.subplots(rows, SHEET_COLUMNS, squeeze=False).flat:
        axes.set_axis_off()
    for axes, (pixels, above, below) in zip(figure.axes, tiles, strict=False):
        axes.imshow(pixels)
        axes.text(0.5, 1.03, above, transform=axes.transAxes, ha="center", va="bottom",
                  fontsize=7.5, color=BLUE)
        axes.text(0.5, -0.03, below, transform=axes.transAxes, ha="center", va="top",
                  fontsize=7.5, color=RED)
    return figure


def draw_calibration(outcomes: Outcomes) -> Figure:
    """Reliability diagram: accuracy against confidence, by bin, and the expected error."""
    sums = reliability(outcomes.confidence, outcomes.right)
    filled = sums.counts > 0
    accuracy, low, high = _rates(sums.right[filled], sums.counts[filled])
    confidence = sums.confidence[filled] / sums.counts[filled]
    edges = np.arange(NUM_BINS)[filled] / NUM_BINS
    figure = _figure(4.8, width=6.0)
    axes = figure.subplots()
    axes.bar(edges, accuracy, 1 / NUM_BINS, align="edge", color=BLUE, alpha=0.35, edgecolor=BLUE,
             linewidth=0.8, label="accuracy of a bin")
    axes.errorbar(confidence, accuracy, yerr=(accuracy - low, high - accuracy), fmt="o",
                  color=BLUE, markersize=4, capsize=2, linewidth=1,
                  label="at its mean confidence, 95 % interval")
    axes.plot((0, 1), (0, 1), color=RED, linestyle="--", label="perfect calibration")
    axes.set(xlabel="confidence (largest probability)", ylabel="accuracy (top-1)", xlim=(0, 1),
             ylim=(0, 1.03))
    axes.set_title(f"expected calibration error {100 * sums.expected_error:.2f} % "
                   f"({NUM_BINS} bins, {sums.counts.sum()} images)", fontsize=10)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    return figure


def draw_confidence(outcomes: Outcomes) -> Figure:
    """Histogram of confidence, right and wrong predictions apart where that is known."""
    figure = _figure(4.6, width=6.0)
    axes = figure.subplots()
    edges = np.linspace(0, 1, 2 * NUM_BINS + 1)
    if outcomes.has_labels:
        right = outcomes.right
        parts = [outcomes.confidence[right], outcomes.confidence[~right]]
        axes.hist(parts, edges, stacked=True, color=(BLUE, RED),
                  label=[f"right ({right.sum()})", f"wrong ({(~right).sum()})"])
        axes.legend(fontsize=8, loc="upper left")
    else:
        axes.hist(outcomes.confidence, edges, color=BLUE)
    mean = outcomes.confidence.mean()
    axes.set_axisbelow(True)
    axes.axvline(mean, color="black", linewidth=1, linestyle="--")
    axes.set(xlabel="confidence (largest probability)", ylabel="images", xlim=(0, 1))
    axes.set_title(f"confidence of {len(outcomes)} images, mean {100 * mean:.1f} %", fontsize=10)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    return figure


def _figure(height, width=WIDTH):
    return Figure(figsize=(width, height), layout="constrained")


def _rates(errors, numbers):
    """(share, low, high) of each count, 95 % Wilson intervals."""
    shares = errors / numbers
    low, high = np.transpose([wilson_interval(e, n)
                              for e, n in zip(errors, numbers, strict=True)])
    # At 0 and 1 rounding puts an end 1e-17 on the wrong side, and matplotlib refuses it.
    return shares, np.minimum(low, shares), np.maximum(high, shares)
