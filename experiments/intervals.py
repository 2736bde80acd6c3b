"""Intervals, thresholds and curves: the numbers by which all experiments are judged."""

import math

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


def mean_and_interval(values):
    """(mean, low, high): Student's t interval of the mean at 95 %; NaN bounds for one value."""
    values = np.asarray(values, float)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values)
    return mean, mean - half, mean + half


def text(values):
    """'12.34 (11.90 to 12.78)'; without the interval for one value."""
    mean, low, high = mean_and_interval(values)
    return f"{mean:.2f}" + (f" ({low:.2f} to {high:.2f})" if len(values) > 1 else "")


def verdict(low, high, none=0.0):
    """What a 95 % interval says of an effect; `none` is the value without one."""
    if math.isnan(low):
        return "one seed, no verdict"
    return "seen" if low > none else "opposite seen" if high < none else "no difference seen"


def judged(values):
    """'12.34 (11.90 to 12.78) points: seen'."""
    return f"{text(values)} points: {verdict(*mean_and_interval(values)[1:])}"


def ratio_and_interval(numerators, denominators):
    """(ratio, low, high) of paired positive values: the t interval of the mean log ratio."""
    logs = np.log(np.asarray(numerators, float) / np.asarray(denominators, float))
    return tuple(math.exp(v) for v in mean_and_interval(logs))


def first_below(xs, ys, threshold):
    """The x at which the line through (xs, ys) first falls to `threshold`; None if it never does.

    A curve that starts below gives its first x.
    """
    for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
        if y <= threshold:
            if i == 0:
                return float(x)
            share = (ys[i - 1] - threshold) / (ys[i - 1] - y)
            return float(xs[i - 1] + share * (x - xs[i - 1]))
    return None


def curve(row, column="ema_top1_error"):
    """(epochs, values) of one column of a run's scorings."""
    points = [(r["epoch"], r[column]) for r in row["validation"]]
    return [p[0] for p in points], [p[1] for p in points]
