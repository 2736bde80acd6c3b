"""1x1 convolutions of the step as matrix products: Keras' numbers, and Keras' layers untouched."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from inception_tf.training import pointwise
from inception_tf.training.pointwise import as_products
from tests.updates import operations_of, pass_of


def _model(dtype="float32", **settings):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 4, 7))
    layer = keras.layers.Conv2D(3, dtype=dtype, name="conv", **{"kernel_size": 1, **settings})
    return keras.Model(inputs, layer(inputs))


@pytest.mark.parametrize("settings", [{"use_bias": False}, {"activation": "relu"}], ids=str)
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-6), ("mixed_bfloat16", 2e-2),
                                              ("mixed_float16", 4e-3)])
def test_pass_is_that_of_keras(settings, dtype, tolerance):
    model = _model(dtype, **settings)
    images = tf.random.stateless_normal([6, 5, 4, 7], [1, 2])
    ours = pass_of(model, images, as_products(model))
    for one, other in zip(ours, pass_of(model, images, contextlib.nullcontext()), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        one, other = (np.asarray(tf.cast(v, tf.float32)) for v in (one, other))
        np.testing.assert_allclose(one, other, rtol=tolerance,
                                   atol=tolerance * np.abs(other).max())


def _kinds(model):
    return {"Conv2D", "MatMul"} & set(operations_of(model, tf.zeros([2, 5, 4, 7]), as_products))


@pytest.mark.parametrize("settings", [
    {"kernel_size": 3}, {"strides": 2}, {"groups": 7, "filters": 7}], ids=str)
def test_other_convolutions_stay_keras(settings):
    inputs = keras.Input((5, 4, 7))
    layer = keras.layers.Conv2D(**{"filters": 3, "kernel_size": 1, **settings})
    assert "MatMul" not in _kinds(keras.Model(inputs, layer(inputs)))


def test_a_device_that_has_convolutions_keeps_them(monkeypatch):
    assert _kinds(_model()) == {"MatMul"}
    monkeypatch.setattr(pointwise, "has_accelerator", lambda: True)
    assert _kinds(_model()) == {"Conv2D"}


def test_layers_are_stock_when_the_last_has_left_however_it_ended():
    model = _model()
    first, second = as_products(model), as_products(model)
    first.__enter__()
    with contextlib.suppress(ZeroDivisionError), second:
        first.__exit__(None, None, None)  # replicas take turns
        assert "call" in vars(model.get_layer("conv"))
        raise ZeroDivisionError
    assert "call" not in vars(model.get_layer("conv"))
