"""8-bit files: what is in them, and probabilities of 1,000 classes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inception_tf.serving import quantization, runtimes, telemetry

# Keras asks NumPy for a name that NumPy 2 lacks.
pytestmark = pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")
CLASSES = 1000


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(-1, 1, (6, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    """Two convolutions and a classifier, as the exporters get it."""
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 3, activation="relu")(image)
    x = keras.layers.Conv2D(32, 3, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(CLASSES, kernel_initializer=keras.initializers.RandomNormal(0, 2))(x)
    return keras.Model(image, keras.layers.Softmax()(x))


@pytest.fixture(params=["onnx", "openvino"])
def written(request, network, images, tmp_path):
    """(kind, folder) of a quantized file."""
    pytest.importorskip({"onnx": "tf2onnx", "openvino": "nncf"}[request.param])
    telemetry.switch_off()
    path = tmp_path / {"onnx": "model.onnx", "openvino": "model.xml"}[request.param]
    network(images)
    network.export(str(path), format=request.param, verbose=False,
                   input_signature=[tf.TensorSpec([None, 32, 32, 3], name="images")])
    quantization.quantize(path, request.param, images)
    return request.param, tmp_path


def test_probabilities_of_many_classes_stay_probabilities(written, network, images):
    kind, folder = written
    found = runtimes.load(folder, kind)(images)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert len(np.unique(found[0])) > 0.9 * CLASSES
    expected = network(images).numpy()
    np.testing.assert_allclose(found, expected, atol=0.2 * expected.max())


def test_kernels_are_integers_and_nothing_else_is_left_beside(written):
    kind, folder = written
    expected = {"onnx": {"model.onnx"}, "openvino": {"model.xml", "model.bin"}}[kind]
    assert {path.name for path in folder.iterdir()} == expected
    assert _integer_kernels(kind, folder) == 2


def _integer_kernels(kind, folder):
    if kind == "onnx":
        import onnx

        return sum(one.data_type == onnx.TensorProto.INT8 and len(one.dims) == 4
                   for one in onnx.load(folder / "model.onnx").graph.initializer)
    import openvino

    return sum(node.get_type_name() == "Constant" and len(node.shape) == 4
               and node.get_element_type() == openvino.Type.i8
               for node in openvino.Core().read_model(folder / "model.xml").get_ops())
