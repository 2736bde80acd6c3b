"""Exports for other runtimes, by our command and by the tools of others."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from inception_tf.commands.export import main
from inception_tf.commands.shell import exit_code_of
from inception_tf.serving import comparison, runtimes
from inception_tf.serving.classifier import open_run
from inception_tf.serving.comparison import encoded_images
from inception_tf.serving.formats import FORMATS, ExportRequest
from inception_tf.serving.manifest import read_export_manifest
from inception_tf.serving.saved_model.network import ServedNetwork
from inception_tf.serving.saved_model.signatures import Signatures, save
from tests.bad_images import jpeg
from tests.runs import write_served_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_served_run(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def classifier(run):
    return open_run(run)


@pytest.fixture(scope="module")
def saved_model(classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "1"
    save(folder, Signatures(classifier, ServedNetwork(classifier.model)))
    return folder


def probabilities(classifier, crops):
    return tf.nn.softmax(classifier.model(crops, training=False)).numpy()[:, 1:]


def needs(name, quantize="none"):
    """Skips where the packages of a format are not installed."""
    missing = [p for m, p in ExportRequest(name, quantize=quantize).packages.items()
               if importlib.util.find_spec(m) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def written_by_litert(folder, path):
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=["images"])
    path.write_bytes(converter.convert())
    interpreter = tf.lite.Interpreter(str(path))
    return lambda images: interpreter.get_signature_runner("images")(images=images)


def written_by_tf2onnx(folder, path):
    import onnxruntime

    subprocess.run([sys.executable, "-m", "tf2onnx.convert", f"--saved-model={folder}",
                    "--signature_def=images", f"--output={path}"], check=True)
    session = onnxruntime.InferenceSession(path)
    names = [one.name for one in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(None, {"images": images}), strict=True))


def written_by_openvino(folder, path):
    import openvino

    loaded = tf.saved_model.load(str(folder))
    model = openvino.Core().compile_model(openvino.convert_model(loaded.signatures["images"]),
                                          "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: {value.get_any_name(): array for value, array in model(images).items()}


@pytest.mark.filterwarnings(r"ignore:\s+Warning. tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize("convert", [
    written_by_litert,
    pytest.param(written_by_tf2onnx, marks=needs("onnx")),
    pytest.param(written_by_openvino, marks=needs("openvino")),
])
def test_images_signature_converts_by_the_tools_of_others(saved_model, classifier, tmp_path,
                                                          convert):
    """As their users call them."""
    answer = convert(saved_model, tmp_path / "model")
    crops = comparison.crops_of(classifier, encoded_images())
    expected = probabilities(classifier, crops)
    for number in (1, 3):
        found = answer(crops[:number])
        assert set(found) == {"probabilities", "scores", "classes", "labels"}
        np.testing.assert_allclose(found["probabilities"], expected[:number], atol=1e-5)
        np.testing.assert_array_equal(found["classes"][:, 0], expected[:number].argmax(1))


@pytest.mark.parametrize(("kind", "quantize", "size"), [
    pytest.param("onnx", "none", 1.0, marks=needs("onnx")),
    pytest.param("onnx", "int8", 0.8, marks=needs("onnx", "int8")),
    pytest.param("openvino", "none", 1.0, marks=needs("openvino")),
    pytest.param("openvino", "int8", 0.6, marks=needs("openvino", "int8")),
    pytest.param("litert", "none", 1.0, marks=needs("litert")),
    pytest.param("litert", "dynamic", 0.6, marks=needs("litert")),
    pytest.param("litert", "int8", 0.6, marks=needs("litert")),
])
def test_other_formats_answer_as_the_network(run, classifier, tmp_path, kind, quantize, size):
    folder = tmp_path / kind
    flags = [f"--model_dir={run}", f"--export_dir={folder}", f"--format={kind}",
             f"--quantize={quantize}", "--calibration_images=12", "--check_images=13"]
    assert exit_code_of(main, flags) == 0
    manifest = read_export_manifest(folder)
    answer = runtimes.load(folder, kind)
    crops = comparison.crops_of(classifier, encoded_images())
    expected = probabilities(classifier, crops)
    for n in (4, 1, 3):
        found = answer(crops[:n])
        assert found.shape == (n, 5)
        np.testing.assert_allclose(found, expected[:n], atol=1e-5 if quantize == "none" else 0.1)
    assert manifest["comparison"]["accuracy_images"] == 13
    assert 0 <= manifest["comparison"]["answers_changed"] <= (quantize != "none")
    # Of so small a network OpenVINO's description of the graph is larger than its weights.
    written = sum(p.stat().st_size for p in folder.glob("model.*") if p.suffix != ".xml")
    assert written < 1.6 * size * 4 * classifier.model.count_params()


@pytest.mark.parametrize("name", [n for n in FORMATS if FORMATS[n].packages])
def test_a_missing_package_is_named_before_anything_is_done(run, tmp_path, capsys, monkeypatch,
                                                            name):
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    quantize = [*FORMATS[name].quantize][-1]
    flags = [f"--model_dir={run}", f"--export_dir={tmp_path / 'x'}", f"--format={name}",
             f"--quantize={quantize}"]
    assert exit_code_of(main, flags) == 2
    packages = ExportRequest(name, quantize=quantize).packages.values()
    assert f"pip install {' '.join(packages)}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def _classifier_inputs_onnx(folder):
    import onnx

    graph = onnx.load(folder / "model.onnx").graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    (classifier,) = [node for node in graph.node if node.op_type in ("Gemm", "MatMul")]
    return [made_by.get(name) for name in classifier.input]


def _classifier_inputs_openvino(folder):
    import openvino

    model = openvino.Core().read_model(folder / "model.xml")
    (classifier,) = [op for op in model.get_ops() if op.get_type_name() == "MatMul"]
    return [value.get_node().get_type_name() for value in classifier.input_values()]


@pytest.mark.parametrize(("kind", "inputs_of", "stored"), [
    pytest.param("onnx", _classifier_inputs_onnx, None, marks=needs("onnx", "int8")),
    pytest.param("openvino", _classifier_inputs_openvino, "Constant",
                 marks=needs("openvino", "int8"))])
def test_the_classifier_of_an_int8_file_has_float32_weights(run, tmp_path, kind, inputs_of, stored):
    flags = [f"--model_dir={run}", f"--export_dir={tmp_path / kind}", f"--format={kind}",
             "--quantize=int8", "--calibration_images=2", "--check_images=0"]
    assert exit_code_of(main, flags) == 0
    # No operation makes float32 of them.
    assert inputs_of(tmp_path / kind)[1] == stored


# Exports and asks for a prediction, in a process where nothing is stubbed.
_IN_A_HOME = """
import sys
from inception_tf.__main__ import main
run, folder, picture, *kinds = sys.argv[1:]
for kind in kinds:
    flags = [f"--format={kind}", "--quantize=int8", "--calibration_images=2", "--check_images=0"]
    assert main(["export", f"--model_dir={run}", f"--export_dir={folder}/{kind}", *flags]) == 0
    assert main(["predict", picture, f"--model={folder}/{kind}"]) == 0
"""


@pytest.mark.parametrize("kind", [pytest.param(name, marks=needs(name, "int8"))
                                  for name in ("onnx", "openvino")])
def test_runtimes_leave_no_id_in_an_empty_home(run, tmp_path, kind):
    home, picture = tmp_path / "home", tmp_path / "cat.jpg"
    home.mkdir()
    picture.write_bytes(jpeg())
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("XDG_")} | {"HOME": str(home)}
    subprocess.run([sys.executable, "-c", _IN_A_HOME, run, tmp_path, picture, kind], check=True,
                   env=environment, stdin=subprocess.DEVNULL)
    left = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert not [path for path in left if ".keras/" not in path and "matplotlib/" not in path]
