"""Saved networks: opened without this package, under other backends, by another network."""

import importlib.util
import os
import subprocess
import sys
import zipfile

import keras
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
    from inception_tf.weights.keras_file import load_weights_file

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


BODY = {"include_top": False, "pooling": "avg", "width": 0.1, "repeats": (1, 1, 1)}


def equal(model, other):
    """Whether every weight of `model` has the numbers of the same path in `other`."""
    theirs = {weight.path: weight.numpy() for weight in other.weights}
    return all((weight.numpy() == theirs[weight.path]).all() for weight in model.weights)


@pytest.mark.parametrize("options", [{}, {"aux_head": True}])
def test_network_without_top_takes_the_body_of_a_whole_one(tmp_path, options):
    whole = randomised("inception_v3", **options)
    whole.save(tmp_path / "whole.keras")
    assert equal(nets.InceptionV3(weights=tmp_path / "whole.keras", **BODY), whole)


@pytest.mark.parametrize(("options", "words"), [
    ({"classes": 3}, "include_top=False.*--init_from"),
    ({"include_top": False, "repeats": (0, 1, 1)}, "another network"),
    ({"include_top": False, "repeats": (1, 1, 0)}, "the file also has 'inception_c_1"),
    ({"aux_head": True}, "no layer 'aux_"),
])
def test_whole_network_that_does_not_fit_is_refused_with_the_way_out(tmp_path, options, words):
    randomised("inception_v3").save(tmp_path / "whole.keras")
    with pytest.raises(ValueError, match=words) as error:
        nets.InceptionV3(weights=tmp_path / "whole.keras", **SMALL | options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ending", [".h5", ".keras", ".weights.h5"])
@pytest.mark.parametrize("levels", [1, 2])
def test_network_inside_a_model_of_the_users_is_loaded(tmp_path, ending, levels):
    inner = nets.InceptionV3(input_shape=(80, 90, 3), **BODY)
    around = inner
    for _ in range(levels):
        around = keras.Sequential([keras.Input((80, 90, 3)), around, keras.layers.Dense(5)])
    path = tmp_path / f"x{ending}"
    (around.save_weights if ending == ".weights.h5" else around.save)(path)
    assert equal(nets.InceptionV3(weights=path, **BODY), inner)


def test_weights_go_past_a_layer_of_the_users_before_the_network(tmp_path):
    saved = nets.InceptionV3(**BODY)
    saved.save_weights(tmp_path / "x.weights.h5")
    image = keras.Input((80, 90, 1))
    colored = keras.layers.Conv2D(3, 1, name="mine")(image)
    model = nets.InceptionV3(input_tensor=colored, weights=tmp_path / "x.weights.h5", **BODY)
    assert [weight.path for weight in model.weights[:2]] == ["mine/kernel", "mine/bias"]
    assert equal(saved, model)


def test_two_networks_on_one_tensor_make_one_model(tmp_path):
    saved = nets.InceptionV3(**BODY)
    saved.save_weights(tmp_path / "x.weights.h5")
    image = keras.Input((80, 90, 3))
    one = nets.InceptionV3(input_tensor=image, **BODY)
    other = nets.InceptionV3(
        input_tensor=image, name="second", weights=tmp_path / "x.weights.h5", **BODY)
    both = keras.Model(image, [one.output, other.output])
    np.testing.assert_array_equal(both(IMAGES)[1], saved(IMAGES))
    assert list(nets.endpoints(other)) == list(nets.endpoints(one))
    other.save(tmp_path / "other.keras")
    assert equal(nets.InceptionV3(weights=tmp_path / "other.keras", **BODY), saved)
    with pytest.raises(ValueError, match="'second' cannot be the name of two"):
        nets.InceptionV3(input_tensor=image, name="second", **BODY)


DIGEST = """
import sys, hashlib
import keras, numpy as np
from inception_tf import nets
keras.utils.set_random_seed(0)
images = nets.preprocess_input(np.arange(2 * 80 * 90 * 3).reshape(2, 80, 90, 3) % 256)
digest = hashlib.sha256()
model = nets.InceptionResNetV1(aux_head=True, classes=5, repeats=(1, 0, 0), width=0.1,
                               input_shape=(80, 90, 3))
model.save(sys.argv[1])
for model in (model, keras.models.load_model(sys.argv[1])):
    kinds = {layer.dtype_policy.name for layer in model.layers[1:]} | {model.inputs[0].dtype}
    assert kinds == {"float32"}, kinds
    for output in model(images):
        digest.update(keras.ops.convert_to_numpy(output).tobytes())
print(digest.hexdigest())
"""


def test_networks_compute_the_same_bits_whatever_keras_json_says(tmp_path):
    settings = {
        "plain": "{}",
        "other": '{"floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.1}'}
    digests = set()
    for name, text in settings.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "keras.json").write_text(text)
        digests.add(run_python(DIGEST, tmp_path / "x.keras", KERAS_HOME=str(tmp_path / name)))
    assert len(digests) == 1


def test_dtype_policy_that_a_program_sets_is_kept():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = nets.InceptionV3(**BODY)
        assert model.get_layer("stem_1").compute_dtype == "bfloat16"
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)
