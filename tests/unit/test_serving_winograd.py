"""Convolutions from fewer multiplications: the same numbers, where they are worth it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inception_tf import nets
from inception_tf.serving.saved_model import network, winograd
from inception_tf.serving.saved_model.network import ServedNetwork
from tests.runs import randomize_statistics

# (rows and columns of the input, kernel, input channels, filters, padding)
SHAPES = [
    (35, (3, 3), 64, 96, "same"),
    (17, (3, 3), 80, 64, "valid"),
    (18, (5, 5), 48, 40, "same"),
    (13, (5, 5), 32, 40, "valid"),
    (17, (7, 1), 160, 192, "same"),
    (14, (7, 1), 176, 160, "valid"),
]


def convolution_layer(size, kernel_size, channels, filters, padding, **options):
    layer = keras.layers.Conv2D(filters, kernel_size, padding=padding, **options)
    layer(keras.Input((size, size, channels)))
    return layer


@pytest.mark.parametrize(("outputs", "taps"), [(6, 3), (4, 5), (4, 7)])
def test_products_of_sums_are_the_filter(outputs, taps):
    a, g, b = winograd.transforms(outputs, taps)
    assert g.shape == (outputs + taps - 1, taps)
    generator = np.random.default_rng(0)
    taps_of_one, inputs = generator.normal(size=taps), generator.normal(size=len(b))
    expected = np.correlate(inputs, taps_of_one, "valid")
    np.testing.assert_allclose(a @ ((g @ taps_of_one) * (b @ inputs)), expected, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_convolution_is_that_of_tensorflow(shape):
    layer = convolution_layer(*shape)
    assert winograd.pays(layer)
    kernel = layer.kernel.value
    run = tf.function(lambda x: winograd.convolution(layer, kernel)(x), autograph=False,
                      input_signature=[tf.TensorSpec(layer.input.shape)])
    for number in (1, 2, 5):  # with one image some of TensorFlow's kernels go other ways
        images = np.random.default_rng(number).normal(size=(number, *layer.input.shape[1:]))
        expected = tf.nn.conv2d(images, tf.cast(kernel, tf.float64), 1, layer.padding.upper())
        errors = np.abs(run(np.float32(images)).numpy() - expected) / np.std(expected)
        assert np.max(errors) < 1e-4 and np.sqrt(np.mean(errors ** 2)) < 5e-6


@pytest.mark.parametrize(("shape", "options"), [
    ((35, (3, 3), 64, 96, "same"), {"strides": 2}),
    ((35, (3, 3), 64, 96, "same"), {"dilation_rate": 2}),
    ((35, (3, 3), 256, 256, "same"), {"groups": 2}),
    ((35, (3, 3), 32, 32, "same"), {}),
    ((8, (3, 1), 224, 256, "same"), {}),
    ((17, (1, 7), 128, 160, "same"), {}),
    ((35, (1, 1), 320, 256, "same"), {}),
])
def test_others_stay_as_they_are(shape, options):
    assert not winograd.pays(convolution_layer(*shape, **options))


def test_full_size_network_answers_the_same_in_every_form():
    model = nets.build("inception_resnet_v2_released", classes=10, classifier_activation=None)
    randomize_statistics(model)
    assert sum(winograd.pays(layer) for layer in model.layers
               if isinstance(layer, keras.layers.Conv2D)) == 26
    network = ServedNetwork(model)
    served = tf.function(network, autograph=False,
                         input_signature=[tf.TensorSpec(model.input.shape)])
    images = np.random.default_rng(0).uniform(-1, 1, (3, 299, 299, 3)).astype(np.float32)
    expected = np.asarray(model(images, training=False))
    for answer in (network.plain(images), network.in_halves(images), served(images)):
        np.testing.assert_allclose(answer[0], expected, atol=1e-5 * expected.std(), rtol=0)
    # One image is a form of its own.
    np.testing.assert_allclose(served(images[:1])[0], expected[:1], rtol=0,
                               atol=1e-5 * expected.std())


class Forms(ServedNetwork):
    """Answers with the number of the form taken, and its bias, a constant in the function."""

    def plain(self, images):
        return tf.constant(1.0), self._weights["logits"][1][0]

    def in_halves(self, images):
        return tf.constant(2.0), self._weights["logits"][1][0]


def forms(bias=1.0):
    """A traced Forms of one dense layer."""
    image = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D(name="pre_logits")(image)
    logits = keras.layers.Dense(2, bias_initializer=keras.initializers.Constant(bias),
                                name="logits")(pooled)
    network = Forms(keras.Model(image, logits))
    call = tf.function(network, autograph=False)
    call.network = network  # a function does not hold the variables
    return call


@pytest.mark.parametrize(("processor", "number", "form"), [
    ("CPU", 0, 1), ("CPU", 1, 1), ("CPU", 2, 2), ("TPU", 2, 1)])
def test_halves_are_for_several_images_on_a_processor(monkeypatch, processor, number, form):
    # Where this runs is a processor: called otherwise, the halves are for another device.
    monkeypatch.setattr(network, "PROCESSOR", processor)
    assert forms()(tf.zeros([number, 8, 8, 3]))[0] == form


def test_several_networks_in_one_process_are_not_taken_for_one_another():
    calls = [forms(bias) for bias in (1.0, 2.0, 3.0)]
    for number in (1, 2):
        images = tf.zeros([number, 8, 8, 3])
        assert [float(call(images)[1]) for call in calls] == [1, 2, 3]
