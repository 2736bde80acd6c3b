"""What the report counts, against loops over single images."""

import numpy as np
import pytest

from inception_tf.evaluation.report.outcomes import (
    by_class,
    confident_mistakes,
    confusion,
    outcomes_of,
    worst_pairs,
)
from inception_tf.evaluation.scores import NUM_BINS, error_rates, reliability

NUM, K = 700, 7  # more rows than are summed at once
RNG = np.random.default_rng(0)
MEMBERS = [RNG.dirichlet(np.full(K, 0.4), NUM).astype(np.float32) for _ in range(2)]
MEAN = np.mean([m.astype(float) for m in MEMBERS], axis=0)
LABELS = np.where(RNG.random(NUM) < 0.5, MEAN.argmax(1), RNG.integers(0, K, NUM))
CHOSEN = RNG.random(NUM) < 0.9
ROWS = np.flatnonzero(CHOSEN)


@pytest.fixture
def outcomes():
    return outcomes_of(MEMBERS, LABELS[:, None], CHOSEN)


def test_outcomes_are_those_of_the_mean_on_the_chosen_images(outcomes):
    assert outcomes.rows.tolist() == ROWS.tolist()
    assert outcomes.predicted.tolist() == [int(MEAN[row].argmax()) for row in ROWS]
    assert outcomes.confidence.tolist() == [MEAN[row].max() for row in ROWS]
    assert 1 - outcomes.right.mean() == error_rates(MEMBERS, LABELS[:, None], CHOSEN)["top1_error"]


def test_errors_by_class_are_counted_image_by_image(outcomes):
    numbers, errors = by_class(outcomes)
    for k in range(K):
        own = [row for row in ROWS if LABELS[row] == k]
        assert numbers[k] == len(own)
        assert errors[k] == sum(MEAN[row].argmax() != k for row in own)


def test_pairs_and_matrix_hold_the_same_mistakes(outcomes):
    matrix = confusion(outcomes, list(range(K)))
    for true in range(K):
        for predicted in range(K):
            assert matrix[true, predicted] == sum(
                LABELS[r] == true and MEAN[r].argmax() == predicted for r in ROWS)
    pairs = worst_pairs(outcomes, 1000)
    assert {(p.true, p.predicted): p.images for p in pairs} == {
        (t, p): matrix[t, p] for t in range(K) for p in range(K) if t != p and matrix[t, p]}
    assert [p.images for p in pairs] == sorted((p.images for p in pairs), reverse=True)
    assert worst_pairs(outcomes, 3) == pairs[:3]
    assert confusion(outcomes, [5, 2]).tolist() == [
        [matrix[5, 5], matrix[5, 2]], [matrix[2, 5], matrix[2, 2]]]


def test_mistakes_come_most_confident_first(outcomes):
    wrong = [i for i, row in enumerate(ROWS) if MEAN[row].argmax() != LABELS[row]]
    expected = sorted(wrong, key=lambda i: -MEAN[ROWS[i]].max())
    assert confident_mistakes(outcomes, 10).tolist() == expected[:10]


def test_image_with_several_right_classes_counts_for_each():
    probabilities = np.array([[0.6, 0.3, 0.1]] * 3, np.float32)
    targets = np.array([[1, 2], [0, 1], [2, -1]])
    outcomes = outcomes_of([probabilities], targets, np.ones(3, bool))
    assert outcomes.right.tolist() == [False, True, False]
    numbers, errors = by_class(outcomes)
    assert numbers.tolist() == [1, 2, 2] and errors.tolist() == [0, 1, 2]
    assert [(p.true, p.predicted, p.images) for p in worst_pairs(outcomes, 9)] == [
        (2, 0, 2), (1, 0, 1)]


def test_expected_calibration_error_is_the_mean_gap_of_fifteen_bins(outcomes):
    expected = 0.0
    for k in range(15):
        bin_ = [i for i in range(len(outcomes)) if k / 15 < outcomes.confidence[i] <= (k + 1) / 15]
        if bin_:
            gap = outcomes.right[bin_].mean() - outcomes.confidence[bin_].mean()
            expected += len(bin_) / len(outcomes) * abs(gap)
    found = reliability(outcomes.confidence, outcomes.right).expected_error
    assert found == pytest.approx(expected, rel=1e-12)
    rates = error_rates(MEMBERS, LABELS[:, None], CHOSEN)
    assert rates["calibration_error"] == pytest.approx(expected, rel=1e-12)


def test_sure_and_right_is_calibrated_and_sure_and_wrong_is_not():
    ends = np.array([0.0, 1.0, 1.0])
    assert reliability(ends, np.array([False, True, True])).expected_error == 0
    assert reliability(ends, np.array([True, False, False])).expected_error == 1
    assert reliability(ends, ends > 0).counts[[0, NUM_BINS - 1]].tolist() == [1, 2]
