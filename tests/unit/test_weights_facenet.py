"""facenet's Inception-ResNet-v1: its names, and its answers in plain TensorFlow operations."""

import numpy as np
import pytest
import tensorflow as tf

from inception_tf import nets
from inception_tf.commands.convert import main
from inception_tf.errors import UsageError
from tests.parity.arrays import images, random_like
from tests.weight_files import WIDTH, matched, names, write_checkpoint

SMALL = {"width": WIDTH, "input_shape": (96, 96, 3)}
ROOT = "InceptionResnetV1"

# Scope -> branches of (name of the convolution, how it differs from stride 1 and SAME).
DOWN = {"strides": 2, "padding": "VALID"}
BLOCK35 = [[("Conv2d_1x1", {})], [("Conv2d_0a_1x1", {}), ("Conv2d_0b_3x3", {})],
           [("Conv2d_0a_1x1", {}), ("Conv2d_0b_3x3", {}), ("Conv2d_0c_3x3", {})]]
BLOCK17 = [[("Conv2d_1x1", {})],
           [("Conv2d_0a_1x1", {}), ("Conv2d_0b_1x7", {}), ("Conv2d_0c_7x1", {})]]
BLOCK8 = [[("Conv2d_1x1", {})],
          [("Conv2d_0a_1x1", {}), ("Conv2d_0b_1x3", {}), ("Conv2d_0c_3x1", {})]]
MIXED_6A = [[("Conv2d_1a_3x3", DOWN)],
            [("Conv2d_0a_1x1", {}), ("Conv2d_0b_3x3", {}), ("Conv2d_1a_3x3", DOWN)]]
MIXED_7A = [[("Conv2d_0a_1x1", {}), ("Conv2d_1a_3x3", DOWN)],
            [("Conv2d_0a_1x1", {}), ("Conv2d_1a_3x3", DOWN)],
            [("Conv2d_0a_1x1", {}), ("Conv2d_0b_3x3", {}), ("Conv2d_1a_3x3", DOWN)]]


class Reference:
    """facenet's network in TensorFlow operations, reading its variables by their names."""

    def __init__(self, named):
        self.named, self.used = named, set()

    def variable(self, name):
        self.used.add(name)
        return self.named[name]

    def normed(self, x, scope):
        mean, variance, beta = (
            self.variable(f"{scope}/BatchNorm/{v}")
            for v in ("moving_mean", "moving_variance", "beta"))
        return (x - mean) / np.sqrt(variance + 1e-3) + beta

    def conv(self, x, scope, strides=1, padding="SAME"):
        scope = f"{ROOT}/{scope}"
        x = tf.nn.conv2d(x, self.variable(f"{scope}/weights"), strides, padding)
        return tf.nn.relu(self.normed(x, scope))

    def branches(self, x, scope, branches):
        ends = []
        for number, convolutions in enumerate(branches):
            y = x
            for name, options in convolutions:
                y = self.conv(y, f"{scope}/Branch_{number}/{name}", **options)
            ends.append(y)
        return ends

    def residual(self, x, scope, branches, scale, activation=tf.nn.relu):
        y = tf.concat(self.branches(x, scope, branches), axis=3)
        scope = f"{ROOT}/{scope}/Conv2d_1x1"
        y = tf.nn.conv2d(y, self.variable(f"{scope}/weights"), 1, "SAME")
        return activation(x + scale * (y + self.variable(f"{scope}/biases")))

    def reduction(self, x, scope, branches):
        pool = tf.nn.max_pool2d(x, 3, 2, "VALID")
        return tf.concat([*self.branches(x, scope, branches), pool], axis=3)

    def __call__(self, x):
        x = self.conv(x, "Conv2d_1a_3x3", **DOWN)
        x = self.conv(x, "Conv2d_2a_3x3", padding="VALID")
        x = self.conv(x, "Conv2d_2b_3x3")
        x = tf.nn.max_pool2d(x, 3, 2, "VALID")
        x = self.conv(x, "Conv2d_3b_1x1", padding="VALID")
        x = self.conv(x, "Conv2d_4a_3x3", padding="VALID")
        x = self.conv(x, "Conv2d_4b_3x3", **DOWN)
        for i in range(5):
            x = self.residual(x, f"Repeat/block35_{i + 1}", BLOCK35, 0.17)
        x = self.reduction(x, "Mixed_6a", MIXED_6A)
        for i in range(10):
            x = self.residual(x, f"Repeat_1/block17_{i + 1}", BLOCK17, 0.10)
        x = self.reduction(x, "Mixed_7a", MIXED_7A)
        for i in range(5):
            x = self.residual(x, f"Repeat_2/block8_{i + 1}", BLOCK8, 0.20)
        x = self.residual(x, "Block8", BLOCK8, 1.0, activation=tf.identity)
        x = tf.reduce_mean(x, axis=[1, 2]) @ self.variable(f"{ROOT}/Bottleneck/weights")
        return tf.math.l2_normalize(self.normed(x, f"{ROOT}/Bottleneck"), axis=1)


@pytest.fixture(scope="module")
def named():
    table = names("inception_resnet_v1", "facenet")
    model = nets.FacenetInceptionResNetV1(16, **SMALL)
    return {table[w.path]: random_like(table[w.path], w.name, w.shape).astype("float32")
            for w in model.weights if w.path in table}


# What facenet's trainer leaves beside the network.
TRAINING = {
    "global_step": np.int64(7), "centers": np.zeros((9, 16), "f4"),
    "Logits/weights": np.zeros((16, 9), "f4"), "Logits/biases": np.zeros(9, "f4"),
    "Logits/weights/Adam": np.zeros((16, 9), "f4"),
    f"{ROOT}/Bottleneck/BatchNorm/beta/Adagrad": np.zeros(16, "f4"),
}


@pytest.fixture(scope="module")
def conversion(named, tmp_path_factory):
    path = write_checkpoint(tmp_path_factory.mktemp("facenet") / "model.ckpt", named | TRAINING)
    return matched("inception_resnet_v1", "facenet", path, **SMALL)


def test_converted_facenet_embeds_as_its_operations_do(conversion, named):
    reference = Reference(named)
    pictures = images(count=2, size=96)

    ours = conversion.model()(pictures, training=False).numpy()

    theirs = reference(pictures).numpy()
    assert reference.used == named.keys()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, rtol=1e-5)
    assert np.abs(ours[0] - ours[1]).max() > 0.01


def test_converted_facenet_accounts_for_what_training_left(conversion):
    ignored = {row.name for row in conversion.rows if row.state == "ignored"}
    assert ignored == TRAINING.keys()


def test_damaged_facenet_array_is_named(named, tmp_path):
    name = f"{ROOT}/Block8/Conv2d_1x1/biases"
    path = write_checkpoint(tmp_path / "model.ckpt", {k: v for k, v in named.items() if k != name})
    with pytest.raises(UsageError, match=f"1 missing.*{name}"):
        matched("inception_resnet_v1", "facenet", path, **SMALL).model()


def test_embedding_is_no_classifier_for_a_folder(tmp_path):
    with pytest.raises(UsageError, match="embedding, not classes"):
        main(["--from=facenet", "--net=inception_resnet_v1", "--input=x",
              f"--output={tmp_path / 'run'}"])
