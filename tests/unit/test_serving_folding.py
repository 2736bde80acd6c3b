"""Batch norm and scales folded: the same answers from fewer layers."""

import keras
import numpy as np
import pytest

from inception_tf import nets
from inception_tf.serving.saved_model.folding import folded
from inception_tf.serving.saved_model.network import ServedNetwork
from inception_tf.serving.saved_model.plain import PlainNetwork
from tests.runs import randomize_statistics

SMALL = {"width": 0.07, "repeats": (1, 1, 1), "classes": 5, "classifier_activation": None,
         "input_shape": (75, 75, 3)}


def images(size=75):
    return np.random.default_rng(1).uniform(-1, 1, (2, size, size, 3)).astype(np.float32)


def assert_same(network, original, inputs):
    expected = np.asarray(original(inputs, training=False))
    found = np.asarray(network(inputs, training=False))
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.std(), rtol=0)


def kinds(model):
    return {type(layer) for layer in model.layers}


@pytest.mark.parametrize("name", nets.NETWORKS)
@pytest.mark.parametrize("gamma", [False, True])
def test_networks_answer_the_same_without_batch_norm(name, gamma):
    model = nets.build(name, batch_norm_gamma=gamma, **SMALL)
    randomize_statistics(model)
    network = folded(model)
    assert_same(network, model, images())
    gone = {keras.layers.BatchNormalization, keras.layers.Rescaling, keras.layers.Dropout}
    assert not kinds(network) & gone
    assert not network.trainable_weights


@pytest.mark.parametrize("name", nets.NETWORKS)
def test_served_networks_answer_the_same_from_kernels_alone(name):
    options = {"final_batch_norm": True} if "resnet" in name else {}
    model = nets.build(name, batch_norm_gamma=True, **options, **SMALL)
    randomize_statistics(model)
    network = ServedNetwork(model)
    logits, features = network(images())
    expected = np.asarray(model(images(), training=False))
    np.testing.assert_allclose(logits, expected, atol=1e-5 * expected.std(), rtol=0)
    assert features.shape == (2, *model.get_layer("pre_logits").output.shape[1:])
    kernels = [layer for layer in model.layers if hasattr(layer, "kernel")]
    left = model.get_layer("final_bn").weights if options else []
    assert len(network.variables) == len(kernels) + len(left)


@pytest.mark.parametrize("name", nets.NETWORKS)
@pytest.mark.parametrize(("dtype", "limit"), [("bfloat16", 0.05), ("float16", 0.005)])
def test_networks_in_16_bits_answer_the_same_but_for_rounding(name, dtype, limit):
    """At this size the last grids are 1x1, where oneDNN's float16 is wrong for whole kernels."""
    model = nets.build(name, **SMALL)
    randomize_statistics(model)
    network = PlainNetwork(model, dtype)
    logits, features = network(images())
    assert {v.dtype.name for v in network.variables} == {dtype}
    assert logits.dtype == features.dtype == "float32"
    expected = keras.Model(model.input, model.get_layer("pre_logits").output)(
        images(), training=False).numpy()
    assert np.sqrt(np.mean((features - expected) ** 2)) < limit * expected.std()


def test_batch_norm_in_front_of_the_pool_stays():
    model = nets.build("inception_resnet_v2", final_batch_norm=True, **SMALL)
    randomize_statistics(model)
    network = folded(model)
    assert_same(network, model, images())
    left = [v.name for v in network.layers if isinstance(v, keras.layers.BatchNormalization)]
    assert left == ["final_bn"]


def test_the_original_is_left_as_it_was():
    model = nets.build("inception_v4", **SMALL)
    randomize_statistics(model)
    before = [weight.numpy() for weight in model.weights]
    network = folded(model)
    for weight in network.weights:
        weight.assign(weight * 0)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def branching(second_reader_is_output):
    """A convolution whose output two others read: its batch norm may not be folded into it."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="shared")(inputs)
    y = keras.layers.BatchNormalization(name="norm")(x)
    if second_reader_is_output:
        return keras.Model(inputs, [y, x])
    return keras.Model(inputs, keras.layers.Add()([x, y]))


@pytest.mark.parametrize("second_reader_is_output", [False, True])
def test_a_convolution_with_other_readers_keeps_its_batch_norm(second_reader_is_output):
    model = branching(second_reader_is_output)
    randomize_statistics(model)
    network = folded(model)
    assert keras.layers.BatchNormalization in kinds(network)
    for found, expected in zip(keras.tree.flatten(network(images(8))),
                               keras.tree.flatten(model(images(8))), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("middle", [
    keras.layers.ReLU(), keras.layers.MaxPooling2D(2), keras.layers.Activation("tanh")])
def test_only_what_is_linear_lies_between(middle):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    model = keras.Model(inputs, keras.layers.BatchNormalization()(middle(x)))
    randomize_statistics(model)
    assert_same(folded(model), model, images(8))


def test_a_network_of_others_is_folded_too():
    model = keras.applications.MobileNetV2((75, 75, 3), alpha=0.35, weights=None, classes=5,
                                           classifier_activation=None)
    randomize_statistics(model)
    network = folded(model)
    assert_same(network, model, images())
    # Depthwise convolutions keep theirs.
    assert len(network.layers) < len(model.layers)
