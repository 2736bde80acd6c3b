"""Saved networks: opened without this package, under other backends, by another network."""

import importlib.util
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from inception_tf import nets

SMALL = {"width": 0.1, "repeats": (1, 1, 1), "input_shape": (80, 90, 3), "classes": 5}
# No more blocks than a test of files needs.
BARE = SMALL | {"repeats": (0, 1, 1)}
IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, 80, 90, 3)).astype("float32")


def randomised(network, **options):
    """A small network whose every weight and statistic differs from its start."""
    model = nets.build(network, **SMALL | options)
    draw = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(weight.numpy() + draw.uniform(0, 0.1, weight.shape))
    return model


def run_python(code, *arguments, **environment):
    """Run `code` in a fresh interpreter; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


OPEN_WITHOUT_US = """
import sys
sys.modules["inception_tf"] = None  # any import of it raises
import keras, numpy as np
folder = sys.argv[1]
images = np.load(f"{folder}/images.npy")
for path in sys.argv[2:]:
    outputs = keras.saving.load_model(path)(images, training=False)
    for i, output in enumerate(outputs):
        expected = np.load(f"{path}.{i}.npy")
        np.testing.assert_allclose(keras.ops.convert_to_numpy(output), expected, rtol=1e-4,
                                   atol=1e-6)
print(keras.backend.backend())
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder of one small .keras file per network, with its answers beside it."""
    folder = tmp_path_factory.mktemp("networks")
    np.save(folder / "images.npy", IMAGES)
    (folder / "tensorflow.py").write_text('raise ImportError("tensorflow was imported")')
    for network in nets.NETWORKS:
        model = randomised(network, aux_head=True)
        path = folder / f"{network}.keras"
        model.save(path)
        for i, output in enumerate(model(IMAGES, training=False)):
            np.save(f"{path}.{i}.npy", np.asarray(output))
    return folder


def test_saved_networks_open_in_plain_keras_without_this_package(saved, tmp_path):
    paths = [saved / f"{network}.keras" for network in nets.NETWORKS]
    assert run_python(OPEN_WITHOUT_US, saved, *paths).strip() == "tensorflow"


BUILD_WITHOUT_TENSORFLOW = """
import sys
folder, backend = sys.argv[1:3]
sys.path.insert(0, folder)  # whose tensorflow.py raises
import numpy as np
import keras
from inception_tf import nets
assert keras.backend.backend() == backend
images = np.load(f"{folder}/images.npy")
for network in sys.argv[3:]:
    path = f"{folder}/{network}.keras"
    model = nets.build(network, width=0.1, repeats=(1, 1, 1), input_shape=(80, 90, 3), classes=5,
                       aux_head=True, weights=path)
    for i, output in enumerate(model(nets.preprocess_input((images + 1) * 127.5))):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(output),
                                   np.load(f"{path}.{i}.npy"), rtol=1e-3, atol=1e-4)
"""


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_networks_build_load_and_agree_under_another_backend(saved, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    networks = ["inception_v4", "inception_resnet_v2_released"]
    run_python(BUILD_WITHOUT_TENSORFLOW, saved, backend, *networks, KERAS_BACKEND=backend)
    paths = [saved / f"{network}.keras" for network in networks]
    assert run_python(OPEN_WITHOUT_US, saved, *paths, KERAS_BACKEND=backend).strip() == backend


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_weights_argument_restores_a_saved_network(tmp_path, ending):
    model = randomised("inception_resnet_v1")
    path = tmp_path / f"saved{ending}"
    (model.save if ending == ".keras" else model.save_weights)(path)

    again = nets.build("inception_resnet_v1", weights=path, **SMALL)

    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_weights_saved_at_one_image_size_load_at_another(tmp_path):
    model = randomised("inception_v4", aux_head=True, input_shape=(299, 299, 3))
    path = tmp_path / "saved.weights.h5"
    model.save_weights(path)
    ours = nets.build("inception_v4", aux_head=True, weights=path, **SMALL)
    plain = nets.build("inception_v4", aux_head=True, **SMALL)
    plain.load_weights(path)
    for weight, one, other in zip(model.weights, ours.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), one.numpy())
        np.testing.assert_array_equal(weight.numpy(), other.numpy())


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_weights_of_the_papers_variant_are_refused_by_the_released_one(tmp_path, ending):
    model = nets.build("inception_resnet_v2", **SMALL)
    path = str(tmp_path / f"paper{ending}")
    (model.save if ending == ".keras" else model.save_weights)(path)

    with pytest.raises(ValueError) as error:
        nets.build("inception_resnet_v2_released", weights=path, **SMALL)

    for words in (path, "'inception_resnet_v2'", "'inception_resnet_v2_released'", "no layer"):
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("option", "words"),
    [({"classes": 6}, "logits"), ({"width": 0.2}, "stem_1"), ({"repeats": (0, 1, 2)}, "no layer"),
     ({"kernel_order": "figure"}, "long_7_1"), ({"aux_head": True}, "no layer 'aux_1x1'")],
)
def test_weights_of_a_network_with_other_options_are_refused(tmp_path, option, words):
    path = tmp_path / "other.weights.h5"
    nets.build("inception_v4", **BARE).save_weights(path)
    with pytest.raises(ValueError, match=words):
        nets.build("inception_v4", weights=path, **BARE | option)


def test_refused_weights_leave_the_network_untouched(tmp_path):
    from inception_tf.nets.weights_file import load_weights_file

    path = tmp_path / "other.weights.h5"
    nets.build("inception_v4", **BARE | {"classes": 6}).save_weights(path)
    model = nets.build("inception_v4", **BARE)
    before = model.get_weights()
    with pytest.raises(ValueError):
        load_weights_file(model, path)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_file_that_holds_no_network_is_refused_in_one_line(tmp_path):
    garbage = tmp_path / "garbage.keras"
    garbage.write_bytes(b"not a zip file")
    empty = tmp_path / "empty.keras"
    zipfile.ZipFile(empty, "w").close()
    text = tmp_path / "weights.txt"
    text.write_text("1 2 3")
    h5 = tmp_path / "garbage.weights.h5"
    h5.write_bytes(b"not hdf5")
    for path in (garbage, empty, text, h5):
        with pytest.raises(ValueError) as error:
            nets.build("inception_v4", weights=path, **BARE)
        assert path.name in str(error.value)
        assert "\n" not in str(error.value)
