"""Error rates from stored probabilities: of one network, or of the mean of several.

All sums are made in float64 in the order of the split, from the float32 numbers that
predictions files hold, so the same files give the same digits whoever scores them.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from inception_tf.errors import DataError, UsageError

_ROWS_AT_ONCE = 512
# Two-sided 95 % quantile of the normal distribution.
Z95 = 1.959963984540054
# Subsets that --search tries at most: ten members have 1,023.
MAX_SUBSETS = 2**12


def mean_probabilities(members: Sequence[np.ndarray], rows: Any) -> np.ndarray:
    """The mean over `members` (arrays [N, K] float32) of the rows given; float64."""
    total = np.zeros(members[0][rows].shape)
    for probabilities in members:
        total += probabilities[rows]
    return total / len(members)


def error_rates(members: Sequence[np.ndarray], targets: np.ndarray,
                counted: np.ndarray) -> dict[str, Any]:
    """How often the mean of `members` is wrong on the images that count.

    Args:
        members: arrays [N, K] of probabilities, of images in the same order.
        targets: int [N, L]: the right classes of each image, filled up with -1.
        counted: bool [N]; images left out of every number.

    Returns:
        dict: num_examples, top1_error and top5_error (shares), their top1_interval and
        top5_interval (95 %, Wilson), cross_entropy (nats) and calibration_error (the
        expected one, see `Reliability`).
    """
    number = int(counted.sum())
    if number == 0:
        raise UsageError("no image is left to be counted")
    errors = np.zeros(2, int)
    cross_entropy = 0.0
    confidence, right = [], []
    for first in range(0, len(targets), _ROWS_AT_ONCE):
        rows = np.arange(first, min(first + _ROWS_AT_ONCE, len(targets)))
        rows = rows[counted[rows]]
        means = mean_probabilities(members, rows)
        ranks, shares = target_ranks(means, targets[rows])
        errors += (ranks >= 1).sum(), (ranks >= 5).sum()
        cross_entropy -= np.log(np.maximum(shares, np.finfo(np.float32).tiny)).sum()
        confidence.append(means.max(axis=1, initial=0.0))
        right.append(ranks == 0)
    return {
        "num_examples": number,
        "top1_error": errors[0] / number,
        "top5_error": errors[1] / number,
        "top1_interval": wilson_interval(errors[0], number),
        "top5_interval": wilson_interval(errors[1], number),
        "cross_entropy": cross_entropy / number,
        "calibration_error": reliability(np.concatenate(confidence),
                                         np.concatenate(right)).expected_error,
    }


def target_ranks(probabilities: np.ndarray,
                 targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rank of the best placed right class, probability of the right classes) per image.

    The rank is the number of classes before it; a tie is ranked by class index, so a dead
    network's equal numbers are no hit.

    Shape: [n, K], int [n, L] -> int [n], float64 [n].
    """
    best = np.full(len(targets), probabilities.shape[1])
    shares = np.zeros(len(targets))
    index = np.arange(probabilities.shape[1])
    for target in targets.T:
        known = target >= 0
        own = np.where(known, probabilities[np.arange(len(target)), target], np.inf)[:, None]
        before = (probabilities > own) | ((probabilities == own) & (index < target[:, None]))
        best = np.where(known, np.minimum(best, before.sum(axis=1)), best)
        shares += np.where(known, own[:, 0], 0.0)
    return best, shares


def five_best(probabilities: np.ndarray) -> np.ndarray:
    """Indices of the five most probable classes, best first; a tie goes to the lower.

    Shape: [n, K] -> int [n, min(5, K)].
    """
    return np.argsort(-probabilities, axis=1, kind="stable")[:, :5]


def wilson_interval(errors: int, number: int) -> tuple[float, float]:
    """95 % (low, high) of the share errors / number. Source: Wilson, JASA 22 (1927), 209-212."""
    share, z2 = errors / number, Z95 * Z95
    middle = share + z2 / (2 * number)
    half = Z95 * math.sqrt(share * (1 - share) / number + z2 / (4 * number * number))
    scale = 1 + z2 / number
    return (max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale))


def search_subsets(members: Sequence[np.ndarray], targets: np.ndarray, counted: np.ndarray,
                   ) -> list[tuple[tuple[int, ...], dict[str, Any]]]:
    """(indices, error rates) of every subset of `members`, best first.

    By top-5 error, as the challenge ranks, then by top-1 error, then the smaller subset.

    Raises:
        UsageError: there are more than MAX_SUBSETS.
    """
    if 2 ** len(members) > MAX_SUBSETS:
        raise UsageError(f"--search over {len(members)} members has {2 ** len(members) - 1} "
                         f"subsets, more than {MAX_SUBSETS}")
    subsets = [subset for size in range(1, len(members) + 1)
               for subset in itertools.combinations(range(len(members)), size)]
    found = [(s, error_rates([members[i] for i in s], targets, counted)) for s in subsets]
    return sorted(found, key=lambda item: (item[1]["top5_error"], item[1]["top1_error"],
                                           len(item[0])))


def bad_examples(probabilities: np.ndarray, example_ids: Sequence[str]) -> np.ndarray:
    """Which images could not be read: those whose stored numbers are all NaN; bool [N].

    Raises: DataError naming the first other image whose numbers are no probabilities.
    """
    finite = np.isfinite(probabilities).all(axis=1)
    bad = ~finite
    bad[bad] = np.isnan(probabilities[bad]).all(axis=1)
    if not (finite | bad).all():
        raise DataError(f"{example_ids[int(np.argmin(finite | bad))]} has probabilities that are "
                        "not finite")
    return bad


# Equal widths from 0 to 1, each open below and closed above, as in Guo et al.
NUM_BINS = 15


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Sums by bin of confidence; bin b holds confidences in (b / NUM_BINS, (b + 1) / NUM_BINS].

    counts: images, int [NUM_BINS].
    right: those of them that are right, int [NUM_BINS].
    confidence: sum of their confidences, float64 [NUM_BINS].
    """

    counts: np.ndarray
    right: np.ndarray
    confidence: np.ndarray

    @property
    def expected_error(self) -> float:
        """Expected calibration error: the mean over images of |accuracy - confidence| by bin."""
        return float(np.abs(self.right - self.confidence).sum() / self.counts.sum())


def reliability(confidence: np.ndarray, right: np.ndarray) -> Reliability:
    """The Reliability of images.

    Shape: float64 [n] in [0, 1], bool [n].
    """
    bins = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    return Reliability(*(np.bincount(bins, weights, NUM_BINS).astype(kind) for weights, kind in (
        (None, int), (right, int), (confidence, float))))
