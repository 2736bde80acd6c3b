"""Our networks against keras.applications: same weights, same answers."""

import keras
import numpy as np
import pytest

from inception_tf import nets
from inception_tf.weights.arrays import assign
from inception_tf.weights.keras_applications import TABLE
from tests.parity.arrays import images, random_like
from tests.weight_files import ours

APPLICATIONS = {
    "inception_v3": keras.applications.InceptionV3,
    "inception_resnet_v2_released": keras.applications.InceptionResNetV2,
}


@pytest.mark.parametrize("network", TABLE.networks)
def test_outputs_with_the_weights_of_keras_applications_equal_its_outputs(network):
    theirs = APPLICATIONS[network](weights=None, classifier_activation=None)
    for weight in theirs.weights:
        weight.assign(random_like(weight.path, weight.name, weight.shape))
    named = {f"{layer.name}/{weight.name}": weight.numpy()
             for layer in theirs.layers for weight in layer.weights}
    model = nets.build(network, classifier_activation=None)
    assign(model, ours(network, "keras", named))

    expected = keras.ops.convert_to_numpy(theirs(images(), training=False))
    answer = keras.ops.convert_to_numpy(model(images(), training=False))

    assert np.abs(answer - expected).max() < 1e-4 * expected.std()
