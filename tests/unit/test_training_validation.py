"""Error rates: every image once, ties and non-finite logits never a hit."""

import numpy as np
import pytest
import tensorflow as tf

from inception_tf.errors import DataError, NonFiniteError
from inception_tf.runtime.devices import make_strategy
from inception_tf.training.validation import Scorer

NUM_CLASSES = 11


def _batches(logits, labels, batch_size):
    """The logits themselves as images, padded with weight 0 as scoring batches are."""
    padded = -(-len(labels) // batch_size) * batch_size
    weight = np.r_[np.ones(len(labels)), np.zeros(padded - len(labels))].astype(np.float32)
    logits = np.resize(logits, (padded, logits.shape[1])).astype(np.float32)
    labels = np.resize(labels, padded).astype(np.int32)
    for i in range(0, padded, batch_size):
        part = slice(i, i + batch_size)
        yield {"image": tf.constant(logits[part]), "label": tf.constant(labels[part]),
               "weight": tf.constant(weight[part])}


def _score(logits, labels, kind="one", batch_size=8):
    scorer = Scorer(make_strategy(kind), {"net": lambda images: images})
    return scorer.score(_batches(logits, labels, batch_size), len(labels))["net"]


@pytest.mark.parametrize("kind", ["one", "mirrored"])
def test_f28_score_of_43_images_equals_numpy_and_counts_43(kind):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(43, NUM_CLASSES)), rng.integers(0, NUM_CLASSES, 43)
    order = np.argsort(-logits, axis=1)
    rates = _score(logits, labels, kind)
    assert rates["num_examples"] == 43
    assert rates["top1_error"] == np.mean(order[:, 0] != labels)
    in_top5 = (order[:, :5] == labels[:, None]).any(axis=1)
    assert rates["top5_error"] == np.mean(~in_top5)
    log_sum = np.log(np.exp(logits).sum(1))
    expected = np.mean(log_sum - logits[np.arange(43), labels])
    assert rates["cross_entropy"] == pytest.approx(expected, rel=1e-5)


def test_score_of_equal_logits_is_chance_not_zero_error():
    labels = np.arange(NUM_CLASSES)
    rates = _score(np.zeros((NUM_CLASSES, NUM_CLASSES)), labels)
    assert rates["top1_error"] == pytest.approx(10 / 11)
    assert rates["top5_error"] == pytest.approx(6 / 11)


def test_score_with_fewer_than_five_classes_has_no_top5_errors():
    assert _score(np.eye(3), np.array([1, 2, 0]))["top5_error"] == 0.0


def test_score_of_non_finite_logits_raises():
    logits = np.zeros((9, NUM_CLASSES))
    logits[4, 2] = np.nan
    with pytest.raises(NonFiniteError, match="1 of 9 images"):
        _score(logits, np.zeros(9, int))


def test_f28_score_with_an_image_withheld_raises():
    scorer = Scorer(make_strategy("one"), {"net": lambda images: images})
    with pytest.raises(DataError, match="scored 8 images of a split of 9"):
        scorer.score(_batches(np.eye(8, NUM_CLASSES), np.arange(8), 4), 9)
