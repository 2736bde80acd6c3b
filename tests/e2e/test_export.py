"""Exported networks: what they answer, what is in their files, what they refuse."""

import base64
import getpass
import hashlib
import json
import re
import shutil
import socket
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import inception_tf
from inception_tf.commands import predict
from inception_tf.commands.export import main
from inception_tf.commands.shell import exit_code_of
from inception_tf.data.views import scoring_crop
from inception_tf.errors import UsageError
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import CHECKPOINTS
from inception_tf.runtime import hardware
from inception_tf.serving import comparison, runtimes
from inception_tf.serving.classifier import open_keras, open_run
from inception_tf.serving.manifest import read_export_manifest
from inception_tf.serving.saved_model.network import ServedNetwork
from inception_tf.serving.saved_model.signatures import Signatures, save
from tests.bad_images import bomb, encode, jpeg, pixels
from tests.runs import SERVED_CLASSES as CLASSES
from tests.runs import randomize_statistics, write_run, write_served_run

SERVING = Path(__file__).parents[2] / "docs" / "serving.md"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_served_run(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def classifier(run):
    return open_run(run)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "cats" / "1"
    assert exit_code_of(main, [f"--model_dir={run}", f"--export_dir={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def keras_export(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "keras"
    flags = [f"--model_dir={run}", f"--export_dir={folder}", "--format=keras"]
    assert exit_code_of(main, flags) == 0
    return folder


@pytest.fixture(scope="module")
def signatures(exported):
    model = tf.saved_model.load(str(exported))
    # The functions do not hold the variables; the model does.
    return {**model.signatures, "model": model}


def mixed():
    """JPEG, PNG, GIF and BMP of different sizes and shapes."""
    return [jpeg(1), encode(pixels(40, 90), "PNG"), encode(pixels(75, 75), "GIF"),
            encode(pixels(200, 33), "BMP")]


def test_bytes_are_cut_and_answered_as_in_eval(signatures, classifier):
    encoded = mixed()
    answers = signatures["serving_default"](image_bytes=tf.constant(encoded))
    crops = np.stack([scoring_crop(one, classifier.preprocessing) for one in encoded])
    logits = classifier.model(crops, training=False)
    expected = tf.nn.softmax(logits).numpy()[:, 1:]
    np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-6)
    best = np.argsort(-expected, axis=1)
    np.testing.assert_array_equal(answers["classes"], best)
    np.testing.assert_allclose(answers["scores"], np.take_along_axis(expected, best, 1), atol=1e-6)
    names = [[CLASSES[i].encode() for i in row] for row in best]
    np.testing.assert_array_equal(answers["labels"].numpy(), names)


def test_images_and_features_signatures(signatures, classifier):
    encoded = mixed()
    crops = comparison.crops_of(classifier, encoded)
    by_bytes = signatures["serving_default"](image_bytes=tf.constant(encoded))
    by_images = signatures["images"](images=tf.constant(crops))
    np.testing.assert_array_equal(by_images["probabilities"], by_bytes["probabilities"])
    answers = signatures["features"](image_bytes=tf.constant(encoded))
    pooled = keras.Model(classifier.model.input, classifier.model.get_layer("pre_logits").output)
    expected = pooled(crops, training=False).numpy()
    np.testing.assert_allclose(answers["features"], expected, atol=1e-5 * expected.std())
    np.testing.assert_allclose(answers["logits"], classifier.model(crops, training=False),
                               atol=1e-5)


@pytest.mark.parametrize("bad", [b"", b"\x00random", bomb(), jpeg()[:300] + b"\xff\xd9"],
                         ids=["empty", "random", "bomb", "cut"])
def test_f47_bad_bytes_are_an_error_and_the_next_request_is_right(signatures, bad):
    good = mixed()
    before = signatures["serving_default"](image_bytes=tf.constant(good))
    with pytest.raises(tf.errors.InvalidArgumentError):
        signatures["serving_default"](image_bytes=tf.constant([good[0], bad]))
    after = signatures["serving_default"](image_bytes=tf.constant(good))
    np.testing.assert_array_equal(before["probabilities"], after["probabilities"])


def test_the_request_of_the_documentation_is_answered(signatures):
    """As TensorFlow Serving reads it: one object per image, bytes as base64 under "b64"."""
    (block,) = re.findall(r'```json\n(\{"signature_name".*?)```', SERVING.read_text(), re.DOTALL)
    files = {"BASE64_OF_FIRST_FILE": jpeg(1), "BASE64_OF_SECOND_FILE": jpeg(2)}
    for name, content in files.items():
        block = block.replace(name, base64.b64encode(content).decode())
    request = json.loads(block)
    tensors = {name: tf.constant([base64.b64decode(one[name]["b64"])
                                  for one in request["instances"]])
               for name in request["instances"][0]}
    answers = signatures[request["signature_name"]](**tensors)
    expected = signatures["serving_default"](image_bytes=tf.constant([jpeg(1), jpeg(2)]))
    np.testing.assert_array_equal(answers["probabilities"], expected["probabilities"])
    assert set(answers) == {"probabilities", "classes", "scores", "labels"}


def test_f47_no_image_gives_no_answer(signatures):
    answers = signatures["serving_default"](image_bytes=tf.constant([], tf.string))
    assert answers["probabilities"].shape == (0, 5) and answers["labels"].shape == (0, 5)


def test_f48_no_file_names_this_machine(exported, run):
    traces = {str(exported), str(run), str(Path.home()), socket.gethostname(), getpass.getuser(),
              str(Path(__file__).parents[2]), str(Path(keras.__file__).parents[1])}
    for path in (p for p in exported.rglob("*") if p.is_file()):
        content = path.read_bytes()
        # Names of a few letters are in any large file by chance.
        found = [t for t in traces if len(t) > 5 and t.encode() in content]
        assert not found, f"{path.name} holds {found}"


def test_manifest_and_card_say_what_it_is(exported, run):
    manifest = read_export_manifest(exported)
    step = checkpoint.read_manifest(Path(run) / CHECKPOINTS / "step_000000001")
    assert manifest["origin"]["checkpoint_sha256"] == step["files"]["arrays.safetensors"]["sha256"]
    assert manifest["network"]["net"] == "inception_resnet_v1"
    assert manifest["preprocessing"]["image_size"] == 75
    assert manifest["comparison"]["largest_difference"].keys() == {"probabilities", "features"}
    assert set(manifest["files"]) == {
        str(p.relative_to(exported)) for p in exported.rglob("*")
        if p.is_file() and p.name != "manifest.json"}
    card = (exported / "model_card.md").read_text()
    assert "inception_resnet_v1" in card and "not measured in its run" in card
    assert (exported / "labels.txt").read_text().split() == CLASSES


def test_weights_are_the_averaged_ones_unless_asked(run, tmp_path):
    """Both sets of a checkpoint in which they differ."""
    arrays, manifest = checkpoint.load(Path(run) / CHECKPOINTS, 1)
    root = tmp_path / "run"
    raw = {k: v + np.float32(0.01) * k.startswith("weights/logits") for k, v in arrays.items()}
    checkpoint.save(root / CHECKPOINTS, 2, raw, {
        k: v for k, v in manifest.items() if k not in ("format", "step", "files", "sha256")})
    (root / "config.json").write_text((Path(run) / "config.json").read_text())
    answers = {}
    for weights in ("ema", "raw"):
        folder = tmp_path / weights
        flags = [f"--model_dir={root}", f"--export_dir={folder}", "--format=keras",
                 "--check_images=0", f"--weights={weights}"]
        assert exit_code_of(main, flags) == 0
        answers[weights] = keras.saving.load_model(folder / "model.keras").get_weights()[-1]
    np.testing.assert_allclose(answers["raw"] - answers["ema"], 0.01, rtol=1e-3)


def test_an_existing_folder_is_refused_and_left(exported, run, capsys):
    before = {p: p.read_bytes() for p in exported.rglob("*") if p.is_file()}
    assert exit_code_of(main, [f"--model_dir={run}", f"--export_dir={exported}"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert before == {p: p.read_bytes() for p in exported.rglob("*") if p.is_file()}


@pytest.mark.parametrize(("flags", "message"), [
    (["--format=keras", "--quantize=int8"],
     "--quantize=int8 is for --format=onnx or litert or openvino, not keras"),
    (["--format=onnx", "--precision=bfloat16"], "--precision=bfloat16 is for --format=savedmodel"),
    (["--model_dir=/nowhere"], "no config.json there"),
    (["--export_dir="], "--export_dir is empty"),
    (["--calibration_images=0"], "--calibration_images=0 is below 1"),
])
def test_bad_flags_are_one_line(run, tmp_path, capsys, flags, message):
    folder = tmp_path / "1"
    assert exit_code_of(main, [f"--model_dir={run}", f"--export_dir={folder}", *flags]) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["plain", "in_halves"])
def test_an_export_that_differs_in_either_form_is_not_kept(run, tmp_path, capsys, monkeypatch,
                                                           form):
    right = getattr(ServedNetwork, form)
    monkeypatch.setattr(ServedNetwork, form,
                        lambda *args: tuple(1.01 * answer for answer in right(*args)))
    folder = tmp_path / "1"
    assert exit_code_of(main, [f"--model_dir={run}", f"--export_dir={folder}"]) == 4
    assert "differ by" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_export_in_16_bits_stores_half_and_answers_the_same(run, classifier, signatures, tmp_path,
                                                            capsys, monkeypatch, caplog, precision):
    caplog.set_level("INFO")
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu avx2\n")
    monkeypatch.setattr(hardware, "_CPUINFO", tmp_path / "cpuinfo")
    folder = tmp_path / "1"
    assert exit_code_of(main, [f"--model_dir={run}", f"--export_dir={folder}",
                               f"--precision={precision}", "--check_images=13"]) == 0
    assert f"--precision={precision} is slower than float32 here" in caplog.text
    assert f"as savedmodel, {precision}" in capsys.readouterr().out
    manifest = read_export_manifest(folder)
    assert manifest["precision"] == precision and manifest["comparison"]["accuracy_images"] == 13
    assert f"as savedmodel, {precision}" in (folder / "model_card.md").read_text()
    model = tf.saved_model.load(str(folder))
    assert {v.dtype.name for v in model.network_variables if "kernel" in v.name} == {precision}
    encoded = tf.constant(mixed())
    limits = comparison.LIMITS[precision]
    for name, found in model.signatures["serving_default"](image_bytes=encoded).items():
        expected = signatures["serving_default"](image_bytes=encoded)[name]
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        if name == "probabilities":
            np.testing.assert_allclose(found, expected, atol=limits["probabilities"])
    (tmp_path / "cat.jpg").write_bytes(jpeg())
    assert exit_code_of(predict.main, [str(tmp_path / "cat.jpg"), f"--model={folder}"]) == 0
    assert f"savedmodel, {precision}" in caplog.text and "class_" in capsys.readouterr().out
    assert inception_tf.load(folder).form == f"savedmodel, {precision}"


@pytest.mark.parametrize("settings", [
    {"final_batch_norm": True, "interpolation": "bicubic", "antialias": True},
    {"net": "inception_v3", "pool_counts_padding": True, "interpolation": "bicubic",
     "pixel_centers": "corner"},
    {"net": "inception_v4", "batch_norm_gamma": True},
], ids=lambda settings: settings.get("net", "final_batch_norm"))
def test_every_kind_of_network_keeps_to_the_list_of_operations(tmp_path, settings):
    run = write_run(tmp_path / "run", CLASSES, prepare=randomize_statistics, **settings)
    classifier = open_run(run)
    save(tmp_path / "1", Signatures(classifier, ServedNetwork(classifier.model)))
    encoded = tf.constant(mixed())
    answers = tf.saved_model.load(str(tmp_path / "1")).signatures["features"](image_bytes=encoded)
    crops = comparison.crops_of(classifier, mixed())
    expected = classifier.model(crops, training=False).numpy()
    np.testing.assert_allclose(answers["logits"], expected, atol=1e-4 * expected.std())


def test_altered_files_and_foreign_operations_are_refused(exported, tmp_path):
    copy = tmp_path / "1"
    shutil.copytree(exported, copy)
    (copy / "labels.txt").write_text("other\n")
    with pytest.raises(UsageError, match=r"labels\.txt was altered"):
        read_export_manifest(copy)

    class Reader(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
        def read(self, path):
            return {"content": tf.io.read_file(path)}

    module = Reader()
    tf.saved_model.save(module, str(tmp_path / "2"), signatures={"images": module.read})
    with pytest.raises(UsageError, match="ReadFile"):
        runtimes.load(tmp_path / "2", "savedmodel")


def test_keras_file_opens_in_plain_keras_and_is_one_of_ours(keras_export, classifier):
    crops = comparison.crops_of(classifier, mixed())
    expected = classifier.model(crops, training=False)
    path = keras_export / "model.keras"
    np.testing.assert_array_equal(keras.saving.load_model(path)(crops, training=False), expected)
    again = open_keras(str(path))
    np.testing.assert_array_equal(again.model(crops, training=False), expected)
    assert again.class_names == tuple(CLASSES) and again.preprocessing == classifier.preprocessing
    accuracy = read_export_manifest(keras_export)["comparison"]
    assert accuracy["accuracy_images"] == 13
    assert accuracy["accuracy"]["exported"] == accuracy["accuracy"]["original"]


@pytest.mark.parametrize(("values", "words"), [
    ({"first_class": 0}, "names 5 classes"), ({"kind": "savedmodel"}, "saved_model.pb"),
    ({"preprocessing": {"image_size": 80}}, "damaged"),
    ({"class_names": [*CLASSES, "another"]}, "names 6 classes"),
])
def test_f49_manifest_of_another_network_is_refused_by_predict(keras_export, tmp_path, capsys,
                                                               values, words):
    folder = tmp_path / "1"
    shutil.copytree(keras_export, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    values = {key: {**manifest[key], **value} if isinstance(value, dict) else value
              for key, value in values.items()}
    manifest.update(values)
    labels = "".join(f"{name}\n" for name in manifest["class_names"]).encode()
    (folder / "labels.txt").write_bytes(labels)
    manifest["files"]["labels.txt"] = hashlib.sha256(labels).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "cat.jpg").write_bytes(jpeg())
    capsys.readouterr()
    assert exit_code_of(predict.main, [str(tmp_path / "cat.jpg"), f"--model={folder}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line and str(folder) in line
