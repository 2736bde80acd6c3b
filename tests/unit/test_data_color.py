"""Colours: TensorFlow's own operations in closed form, for one image and for a batch."""

import numpy as np
import pytest
import tensorflow as tf

from inception_tf.data.color import (
    FULL_ORDERS,
    NUM_DRAWS,
    RANGES,
    batch_colored,
    colored,
    recolored,
)

SIZE = 24
# Black, white, grey, pure and nearly pure colours, two equal channels: where formulas divide.
EDGES = [(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0),
         (0, 1, 1), (1, 0, 1), (0.5, 0.5, 0.2), (0.2, 0.5, 0.5), (1e-6, 0, 0)]
ADJUST = {"brightness": tf.image.adjust_brightness, "saturation": tf.image.adjust_saturation,
          "hue": tf.image.adjust_hue, "contrast": tf.image.adjust_contrast}


def _pixels(low=0.0, high=1.0):
    pixels = np.random.default_rng(0).uniform(low, high, (SIZE, SIZE, 3)).astype(np.float32)
    pixels[0, :len(EDGES)] = EDGES
    return pixels


def _close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, atol=3e-6)


@pytest.mark.parametrize("low, high", [(0, 1), (-0.4, 0.6), (0.3, 1.5)])
@pytest.mark.parametrize("name", RANGES)
def test_operation_equals_tensorflows_inside_and_outside_the_range(name, low, high):
    pixels = _pixels(low, high)
    for amount in (*RANGES[name], np.mean(RANGES[name]) + 0.02):
        _close(recolored(pixels, {name: amount}, (name,)), ADJUST[name](pixels, amount))


@pytest.mark.parametrize("order", FULL_ORDERS)
def test_order_equals_tensorflows_operations_one_by_one(order):
    for amounts in ((-0.12, 1.5, 0.2, 1.5), (0.1, 0.6, -0.15, 0.5), (-0.1, 0.5, 0.07, 1.4)):
        amounts = dict(zip(RANGES, amounts, strict=True))
        expected = tf.constant(_pixels())
        for name in order:
            expected = ADJUST[name](expected, amounts[name])
        _close(recolored(_pixels(), amounts, order), expected)


@pytest.mark.parametrize("form", ["none", "fast", "full"])
def test_batch_is_each_image_by_itself(form):
    rng = np.random.default_rng(1)
    pixels = rng.uniform(0, 255, (8, SIZE, SIZE, 3)).astype(np.float32)
    draws = rng.uniform(size=(8, NUM_DRAWS)).astype(np.float32)
    draws[:, 0] = np.arange(8) / 8  # every order
    singly = [colored(tf.constant(p), tf.constant(d), form) for p, d in zip(pixels, draws,
                                                                            strict=True)]
    np.testing.assert_allclose(batch_colored(pixels, tf.constant(draws), form), singly, atol=1e-5)
