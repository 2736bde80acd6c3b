"""ReLUs after their concatenation: the bits of Keras' layers, fewer tensors, layers untouched."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from inception_tf.config import preset
from inception_tf.runs.network import build_network
from inception_tf.training import joined
from inception_tf.training.joined import relu_after_concat
from tests.updates import operations_of, pass_of

RELU, CONV = keras.layers.ReLU, keras.layers.Conv2D


def _model(second=RELU, more=lambda first, second: []):
    """Two branches, concatenated, and a convolution; `more` reads them as well."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 5, 3))
    branches = [RELU()(CONV(4, 3, padding="same")(inputs)),
                second()(CONV(2, 1)(inputs))]
    outputs = CONV(3, 1)(keras.layers.Concatenate(name="concat")(branches))
    return keras.Model(inputs, [outputs, *more(*branches)])


def _relus(model, shape=(2, 5, 5, 3)):
    return operations_of(model, tf.zeros(shape), relu_after_concat).count("Relu")


def test_values_and_gradients_have_the_bits_of_keras():
    model = _model()
    images = tf.random.stateless_normal([6, 5, 5, 3], [1, 2])
    ours = pass_of(model, images, relu_after_concat(model))
    theirs = pass_of(model, images, contextlib.nullcontext())
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    assert _relus(model) == 1
    assert not [layer for layer in model.layers if "call" in vars(layer)]


@pytest.mark.parametrize("second, more", [
    (lambda: RELU(max_value=6.0), lambda *_: []), (lambda: RELU(negative_slope=0.1), lambda *_: []),
    (lambda: keras.layers.MaxPooling2D(1), lambda *_: []),
    (RELU, lambda first, second: [CONV(1, 1)(second)]), (RELU, lambda first, second: [first]),
], ids=["capped", "leaky", "pool", "read elsewhere", "an output"])
def test_what_is_no_plain_relu_of_the_concatenation_alone_stays(second, more):
    model = _model(second, more)
    images = tf.random.stateless_normal([2, 5, 5, 3], [1, 2])
    for one, other in zip(pass_of(model, images, relu_after_concat(model)),
                          pass_of(model, images, contextlib.nullcontext()), strict=True):
        np.testing.assert_array_equal(one, other)
    with relu_after_concat(model):
        assert "call" not in vars(model.get_layer("concat"))


@pytest.mark.parametrize("net, branches", [
    ("inception_v4", [4, 4, 6, 2]), ("inception_resnet_v1", [3, 2, 2]),
    ("inception_resnet_v2", [3, 2, 2, 2])])
def test_concatenations_of_a_network_have_one_relu_each(net, branches, monkeypatch):
    """Those of one block of each kind and, with the new stem, of its second Filter concat."""
    config = preset("tiny").replace(net=net, image_size=75, width=0.07, repeats=(1, 1, 1))
    model = build_network(config.network, 5)
    ours = _relus(model, (2, 75, 75, 3))
    monkeypatch.setattr(joined, "has_accelerator", lambda: True)
    assert _relus(model, (2, 75, 75, 3)) - ours == sum(count - 1 for count in branches)
