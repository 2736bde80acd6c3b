"""Full-size files of the peers themselves, converted: same images, same answers."""

import keras
import numpy as np
import pytest

from inception_tf.weights.convert import Conversion
from tests.golden import recipe
from tests.golden.test_nets_slim import HERE, inventory
from tests.parity.arrays import images, random_like
from tests.parity.test_nets_timm import (  # noqa: F401 (fixtures)
    _random_state,
    timm,
    torch,
)
from tests.weight_files import write_checkpoint


def logits_of(conversion, pictures):
    """Answers without the softmax."""
    model = conversion.model()
    probe = keras.Model(model.input, model.get_layer("logits").output)
    return keras.ops.convert_to_numpy(probe(pictures, training=False))


def test_converted_slim_checkpoint_answers_as_slim_did(tmp_path):
    named = {n: recipe.weight(n, shape) for n, shape in inventory("inception_v3").items()}
    path = write_checkpoint(tmp_path / "model.ckpt", named | {"global_step": np.int64(9)})
    conversion = Conversion("inception_v3", "slim", path, classes=1000)

    answer = logits_of(conversion, recipe.images())

    # Slim's first class is background, which was left out.
    expected = np.load(HERE / "slim_inception_v3.npz")["Logits"][:, 1:]
    assert answer.shape == expected.shape
    assert np.abs(answer - expected).max() < 1e-4 * expected.std()


def test_converted_file_of_keras_applications_answers_as_it_did(tmp_path):
    theirs = keras.applications.InceptionV3(weights=None, classifier_activation=None)
    for weight in theirs.weights:
        weight.assign(random_like(weight.path, weight.name, weight.shape))
    theirs.save(tmp_path / "x.keras")
    conversion = Conversion("inception_v3", "keras", str(tmp_path / "x.keras"))

    answer = logits_of(conversion, images())

    expected = keras.ops.convert_to_numpy(theirs(images(), training=False))
    assert np.abs(answer - expected).max() < 1e-4 * expected.std()


def test_converted_state_dict_of_timm_answers_as_it_did(tmp_path, timm, torch):  # noqa: F811
    safetensors = pytest.importorskip("safetensors.torch")
    theirs = timm.create_model("inception_resnet_v2").eval()
    state = {k: torch.from_numpy(v) for k, v in _random_state(theirs.state_dict()).items()}
    theirs.load_state_dict(state)
    safetensors.save_file(theirs.state_dict(), tmp_path / "x.safetensors")
    conversion = Conversion(
        "inception_resnet_v2_released", "timm", str(tmp_path / "x.safetensors"))

    answer = logits_of(conversion, images())

    with torch.no_grad():
        expected = theirs(torch.from_numpy(images().transpose(0, 3, 1, 2))).numpy()
    assert conversion.gamma
    assert np.abs(answer - expected).max() < 1e-4 * expected.std()
