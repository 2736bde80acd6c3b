"""Batch norm of the step by the fused operation: Keras' numbers, and Keras' layers untouched."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from inception_tf.config import preset
from inception_tf.runs.network import build_network
from inception_tf.runtime.devices import make_strategy
from inception_tf.training.batch_norm import fused
from inception_tf.training.schedule import Schedule
from inception_tf.training.state import TrainState
from inception_tf.training.step import TrainStep
from tests.updates import operations_of


def _model(scale=True, dtype="float32", **settings):
    inputs = keras.Input((5, 5, 7))
    norm = keras.layers.BatchNormalization(scale=scale, epsilon=1e-3, momentum=0.9, dtype=dtype,
                                           name="norm", **settings)
    model = keras.Model(inputs, norm(inputs))
    rng = np.random.default_rng(0)
    norm.set_weights([rng.uniform(0.5, 1.5, w.shape).astype(np.float32)
                      for w in norm.get_weights()])
    return model


def _pass(model, images, is_fused):
    """(outputs, gradients of inputs and weights, statistics afterwards) of a pass in training."""
    before = model.get_weights()
    x = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(x)
        if is_fused:
            with fused(model):
                y = model(x, training=True)
        else:
            y = model(x, training=True)
        loss = tf.reduce_sum(tf.cast(y, tf.float32) * np.cos(np.arange(y.shape[-1])) * x[..., :1])
    gradients = tape.gradient(loss, [x, *(v.value for v in model.trainable_variables)])
    statistics = [v.numpy() for v in model.non_trainable_variables]
    model.set_weights(before)
    return [np.asarray(tf.cast(y, tf.float32)), *(g.numpy() for g in gradients), *statistics]


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-5), ("mixed_bfloat16", 2e-2),
                                              ("mixed_float16", 4e-3)])
def test_pass_and_moving_statistics_are_those_of_keras(scale, dtype, tolerance):
    images = np.random.default_rng(1).normal(2.0, 3.0, (6, 5, 5, 7)).astype(np.float32)
    model = _model(scale, dtype)
    for ours, theirs in zip(_pass(model, images, True), _pass(model, images, False), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance,
                                   atol=tolerance * np.abs(theirs).max())


def test_one_value_a_channel_has_the_variance_zero_that_keras_gives():
    model = _model()
    model.get_layer("norm").set_weights([np.ones(7, np.float32)] * 4)
    inputs = keras.Input((1, 1, 7))
    model = keras.Model(inputs, model.get_layer("norm")(inputs))
    images = np.ones((1, 1, 1, 7), np.float32)
    for ours, theirs in zip(_pass(model, images, True), _pass(model, images, False), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("batch_norm, is_fused", [("own", True), ("synchronized", False),
                                                  ("frozen", False)])
def test_synchronized_and_frozen_layers_stay_keras(batch_norm, is_fused):
    model = build_network(preset("tiny").replace(batch_norm=batch_norm).network, 5)
    size = model.input_shape[1]
    kinds = operations_of(model, tf.zeros([2, size, size, 3]), fused)
    assert ("FusedBatchNormV3" in kinds) == is_fused


def test_layers_stay_keras_where_the_graph_does_not_know_how_many_images():
    unknown = tf.TensorSpec([None, 5, 5, 7])
    assert "FusedBatchNormV3" not in operations_of(_model(), unknown, fused)
    assert "FusedBatchNormV3" in operations_of(_model(), tf.zeros([2, 5, 5, 7]), fused)


def test_layers_share_their_constants():
    inputs = x = keras.Input((5, 5, 7))
    counts = []
    for _ in range(3):
        x = keras.layers.BatchNormalization()(x)
        counts.append(operations_of(keras.Model(inputs, x), tf.zeros([2, 5, 5, 7]),
                                    fused).count("Const"))
    assert counts[0] == counts[1] == counts[2] > 0


def test_layers_are_stock_before_and_after():
    model = _model()
    text = model.to_json()
    images = tf.random.stateless_normal([6, 5, 5, 7], [1, 2])
    with fused(model):
        assert model.to_json() == text
        np.testing.assert_array_equal(model(images), model(images, training=False))
    assert "call" not in vars(model.get_layer("norm"))
    assert "FusedBatchNormV3" not in operations_of(
        model, images, lambda _: contextlib.nullcontext())


@pytest.mark.parametrize("net", ["inception_v4", "inception_resnet_v1", "inception_resnet_v2"])
def test_fifty_updates_are_those_of_keras_layers(net, monkeypatch):
    losses, arrays = [], []
    for is_ours in (True, False):
        if not is_ours:
            for name in ("fused", "as_products", "relu_after_concat"):
                monkeypatch.setattr(f"inception_tf.training.replica.{name}",
                                    lambda model: contextlib.nullcontext())
        step, state = _network_step(net)
        batches = _batches()
        losses.append([float(step([next(batches)])["loss"]) for _ in range(50)])
        arrays.append(state.arrays())
    # Rounding grows from update to update: images larger by 2e-7 move losses as far (2e-3).
    np.testing.assert_allclose(losses[0][:5], losses[1][:5], rtol=1e-4)
    np.testing.assert_allclose(*losses, rtol=1e-2)
    moved = np.concatenate([np.ravel(arrays[0][name] - arrays[1][name]) for name in arrays[0]
                            if name.startswith("weights/")])
    size = np.concatenate([np.ravel(arrays[1][name]) for name in arrays[1]
                           if name.startswith("weights/")])
    assert np.linalg.norm(moved) < 1e-3 * np.linalg.norm(size)


def _network_step(net):
    config = preset("tiny").replace(net=net, image_size=75, width=0.07, repeats=(1, 1, 1),
                                    global_batch=8, learning_rate=1e-4, dropout=0.0)
    strategy = make_strategy("one")
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = build_network(config.network, 5)
    state = TrainState(strategy, model, config.optimization)
    return TrainStep(strategy, model, state, Schedule(config.optimization, 400), 0,
                     config.execution), state


def _batches():
    rng = np.random.default_rng(0)
    while True:
        labels = rng.integers(0, 5, 8).astype(np.int32)
        images = rng.normal(labels[:, None, None, None] / 5, 0.5, (8, 75, 75, 3))
        yield {"image": tf.constant(images, tf.float32), "label": tf.constant(labels),
               "weight": tf.ones([8])}
