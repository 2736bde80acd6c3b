"""What the mean of some networks said of each image, and what it got wrong: by class, by pair."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from inception_tf.evaluation.scores import mean_probabilities, target_ranks

_ROWS_AT_ONCE = 512


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """One entry per image looked at, in the order of the split.

    rows: its place in the split, int [n].
    targets: its right classes, filled up with -1; int [n, L]. No class at all: no label.
    predicted: the most probable class, int [n]; of equal ones the lowest.
    confidence: its probability, float64 [n].
    in_five: whether a right class is among the five most probable ones, bool [n].
    num_classes: classes that compete.
    """

    rows: np.ndarray
    targets: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    in_five: np.ndarray
    num_classes: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def right(self) -> np.ndarray:
        """Whether the predicted class is a right one, bool [n]."""
        return (self.targets == self.predicted[:, np.newaxis]).any(axis=1)

    @property
    def has_labels(self) -> bool:
        """Whether it is known what is right."""
        return bool((self.targets >= 0).any())


class Pair(NamedTuple):
    """Images of class `true` that were called `predicted`: `images` of the `total` it has."""

    true: int
    predicted: int
    images: int
    total: int


def outcomes_of(members: Sequence[np.ndarray], targets: np.ndarray,
                chosen: np.ndarray) -> Outcomes:
    """The Outcomes of the mean of `members` (arrays [N, K]) on the images `chosen` (bool [N])."""
    rows = np.flatnonzero(chosen)
    predicted, confidence = np.zeros(len(rows), int), np.zeros(len(rows))
    in_five = np.zeros(len(rows), bool)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        means = mean_probabilities(members, rows[part])
        predicted[part], confidence[part] = means.argmax(axis=1), means.max(axis=1)
        in_five[part] = target_ranks(means, targets[rows[part]])[0] < 5
    return Outcomes(rows, targets[rows], predicted, confidence, in_five, members[0].shape[1])


def by_class(outcomes: Outcomes, right: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(images, errors) per class, int [K] each; an image counts for each of its right classes.

    `right`: which images are right, bool [n]; None: `outcomes.right`, the top-1 errors.
    """
    known = outcomes.targets >= 0
    wrong = known & ~(outcomes.right if right is None else right)[:, np.newaxis]
    images, errors = (np.bincount(outcomes.targets[chosen], minlength=outcomes.num_classes)
                      for chosen in (known, wrong))
    return images, errors


def worst_classes(images: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """The classes that have images, highest share of errors first, then by class."""
    known = np.flatnonzero(images)
    return known[np.lexsort((known, -errors[known] / images[known]))]


def worst_pairs(outcomes: Outcomes, limit: int) -> list[Pair]:
    """The `limit` most frequent Pairs of a right class and the wrong one predicted instead.

    Most images first, then the larger share of the class, then by class.
    """
    numbers, _ = by_class(outcomes)
    wrong = (outcomes.targets >= 0) & ~outcomes.right[:, np.newaxis]
    image, place = np.nonzero(wrong)
    found = np.stack([outcomes.targets[image, place], outcomes.predicted[image]])
    pairs, counts = np.unique(found, axis=1, return_counts=True)
    ranked = sorted((Pair(int(true), int(predicted), int(count), int(numbers[true]))
                     for (true, predicted), count in zip(pairs.T, counts, strict=True)),
                    key=lambda p: (-p.images, p.total, p.true, p.predicted))
    return ranked[:limit]


def confusion(outcomes: Outcomes, classes: Sequence[int]) -> np.ndarray:
    """Images of each of `classes` (rows) by which of `classes` was predicted; others left out.

    Shape: [C] -> int [C, C].
    """
    matrix = np.zeros((len(classes), len(classes)), int)
    places = np.full(outcomes.num_classes, -1)
    places[classes] = np.arange(len(classes))
    for target in outcomes.targets.T:
        true, predicted = places[target], places[outcomes.predicted]
        both = (target >= 0) & (true >= 0) & (predicted >= 0)
        np.add.at(matrix, (true[both], predicted[both]), 1)
    return matrix


def confident_mistakes(outcomes: Outcomes, limit: int) -> np.ndarray:
    """Places in `outcomes` of the `limit` most confident mistakes, most confident first."""
    order = np.argsort(-outcomes.confidence, kind="stable")
    return order[~outcomes.right[order]][:limit]
