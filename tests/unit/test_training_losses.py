"""The losses against TF1's own arithmetic."""

import numpy as np
import pytest
import tensorflow as tf

from inception_tf.training.losses import cross_entropy, is_decayed, weight_decay_loss


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_tf1_softmax_cross_entropy(smoothing):
    logits = np.random.default_rng(0).normal(size=(6, 11)).astype(np.float32) * 4
    labels = np.array([0, 10, 3, 3, 7, 1], np.int32)
    expected = tf.compat.v1.losses.softmax_cross_entropy(
        tf.one_hot(labels, 11), logits, label_smoothing=smoothing, reduction="none")
    np.testing.assert_allclose(cross_entropy(logits, labels, smoothing), expected, rtol=1e-5)


def test_weight_decay_loss_is_half_the_square():
    kernels = [tf.constant([1.0, 2.0]), tf.constant([[3.0]])]
    assert float(weight_decay_loss(kernels, 4e-5)) == pytest.approx(4e-5 * 14 / 2)


@pytest.mark.parametrize("path, expected", [
    ("stem_1/kernel", True), ("logits/kernel", True), ("logits/bias", False),
    ("stem_1_bn/beta", False), ("stem_1_bn/gamma", False)])
def test_weight_decay_touches_kernels_only(path, expected):
    assert is_decayed(path) is expected
