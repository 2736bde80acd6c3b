"""The formats of an export, and those that Keras' own exporters write.

These are compared with the network they were made from on the runtime that will run them:
answers, size, speed, and errors on the validation split.
"""

import dataclasses
import importlib.metadata
import importlib.util
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inception_tf.config import Config
from inception_tf.errors import UsageError
from inception_tf.runtime.progress import bar
from inception_tf.serving import comparison, runtimes
from inception_tf.serving.classifier import Classifier
from inception_tf.serving.saved_model.folding import folded
from inception_tf.weights.card import Facts, write_facts

BATCH_SIZES = (1, 8)
TIMED_PASSES = 5


@dataclasses.dataclass(frozen=True)
class Format:
    """file: what is written. packages: of exporter and runtime, import name -> name to install."""

    file: str
    packages: dict[str, str] = dataclasses.field(default_factory=dict)


FORMATS = {
    "savedmodel": Format("saved_model.pb"),
    "keras": Format("model.keras"),
    "onnx": Format("model.onnx", {"tf2onnx": "tf2onnx", "onnx": "onnx",
                                  "onnxruntime": "onnxruntime"}),
    "litert": Format("model.tflite", {"ai_edge_litert": "ai-edge-litert"}),
    "openvino": Format("model.xml", {"openvino": "openvino"}),
}


@dataclasses.dataclass(frozen=True)
class ExportRequest:
    """What to write.

    format: a name in FORMATS.
    quantize: "none", "dynamic" or "int8"; the last two for LiteRT.
    calibration_images: training images that give int8 its ranges.
    check_images: images of the validation split on which both networks are scored.
    """

    format: str = "savedmodel"
    quantize: str = "none"
    calibration_images: int = 100
    check_images: int = 500

    def __post_init__(self) -> None:
        if self.quantize != "none" and self.format != "litert":
            raise UsageError(f"--quantize={self.quantize} is for --format=litert, not "
                             f"{self.format}")


def require(name: str) -> None:
    """Raises UsageError when a package that `name` needs is not installed."""
    missing = [package for module, package in FORMATS[name].packages.items()
               if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f"--format={name} needs {' and '.join(missing)}: pip install "
                         f"{' '.join(missing)}")


def package_versions(name: str) -> dict[str, str]:
    """Package -> version, of what a format needs in addition to TensorFlow."""
    return {p: importlib.metadata.version(p) for p in FORMATS[name].packages.values()}


def write_and_compare(classifier: Classifier, folder: Path,
                      request: ExportRequest) -> dict[str, Any]:
    """Writes the network into `folder`; the manifest's "comparison" of it.

    Raises: StorageError when its answers are not those of the network (not for quantized).
    """
    path = folder / FORMATS[request.format].file
    if request.format == "keras":
        _write_keras(classifier, path)
    else:
        network = _with_probabilities(classifier)
        network(tf.zeros([1, *network.input.shape[1:]]))  # Keras exports only what was called
        with warnings.catch_warnings():
            # Keras 3.15 asks NumPy for names that tf2onnx uses and NumPy 2 lacks.
            warnings.simplefilter("ignore", FutureWarning)
            network.export(str(path), format=request.format, verbose=False,
                           input_signature=[tf.TensorSpec(network.input.shape, name="images")],
                           **_quantization(classifier, request))
    return _compare(classifier, folder, request)


def _write_keras(classifier, path):
    """The network unfolded, for plain Keras and further training (--init_from)."""
    classifier.model.save(path)
    network = dataclasses.replace(classifier.network, aux_head=False, init_from="", freeze=())
    data = dataclasses.replace(classifier.data, data_dir="", manual_dir="")
    write_facts(str(path), Facts(Config(network=network, data=data), classifier.class_names,
                                 classifier.origin))


def _with_probabilities(classifier):
    """The folded network with softmax on top, background left out."""
    network = folded(classifier.model)
    output = keras.layers.Softmax(name="softmax")(network.output)
    if classifier.first_class:
        output = output[:, classifier.first_class:]
    # Keras names the arguments of exported graphs after the model.
    return keras.Model(network.input, output, name=classifier.network.net)


def _quantization(classifier, request):
    """Arguments for Keras' LiteRT exporter, which passes them to TensorFlow's converter."""
    if request.quantize == "none":
        return {}
    settings: dict[str, object] = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if request.quantize == "int8":
        images = _calibration_images(classifier, request.calibration_images)
        settings["representative_dataset"] = lambda: ([one[np.newaxis]] for one in images)
        settings["target_spec"] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]}
    return settings


def _calibration_images(classifier, count):
    """Training images, cut as in scoring."""
    records, why_none = comparison.examples(classifier, classifier.data.train_split, count)
    if not records:
        raise UsageError(f"--quantize=int8 is calibrated on training images: {why_none}")
    return comparison.crops_of(classifier, [record.encoded for record in records])


def _compare(classifier, folder, request):
    original = runtimes.probabilities_of(classifier.model, classifier.first_class)
    exported = runtimes.load(folder, request.format, classifier.first_class)
    images = comparison.crops_of(classifier, comparison.encoded_images())
    expected = original(images)
    found = exported(images)
    difference = comparison.largest_difference(found, expected)
    if request.quantize == "none":
        comparison.checked(difference, f"probabilities of {FORMATS[request.format].file}")
    result = {
        "images": len(images),
        "largest_difference": {"probabilities": difference},
        "bytes": {"original": 4 * classifier.model.count_params(), "exported": _size_of(folder)},
        "images_per_second": {name: {str(n): _speed(run, images, n) for n in BATCH_SIZES}
                              for name, run in (("original", original), ("exported", exported))},
    }
    return {**result, **_accuracy(classifier, original, exported, request.check_images)}


def _size_of(folder):
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _speed(run, images, batch_size):
    """Images per second, the median of TIMED_PASSES."""
    batch = np.resize(images, (batch_size, *images.shape[1:]))
    run(batch)
    seconds = []
    for _ in range(TIMED_PASSES):
        started = time.perf_counter()
        run(batch)
        seconds.append(time.perf_counter() - started)
    return batch_size / statistics.median(seconds)


def _accuracy(classifier, original, exported, count):
    """Top-1 errors of both on the same validation images, or why there are none."""
    if not count:
        return {}
    records, why_none = comparison.examples(classifier, classifier.data.eval_split, count)
    if not records:
        return {"accuracy_not_measured": why_none}
    wrong = {"original": 0, "exported": 0}
    batches = [records[i:i + BATCH_SIZES[-1]] for i in range(0, len(records), BATCH_SIZES[-1])]
    for batch in bar(batches, len(batches), "batch", "scoring both"):
        images = comparison.crops_of(classifier, [record.encoded for record in batch])
        labels = [record.label for record in batch]
        wrong["original"] += int((original(images).argmax(1) != labels).sum())
        wrong["exported"] += int((exported(images).argmax(1) != labels).sum())
    return {"accuracy_images": len(records),
            "accuracy": {name: number / len(records) for name, number in wrong.items()}}
