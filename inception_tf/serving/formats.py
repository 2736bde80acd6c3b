"""The formats of an export, and how each is written."""

import dataclasses
import importlib.metadata
import importlib.util
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from inception_tf.config import Config
from inception_tf.errors import UsageError
from inception_tf.serving import comparison, quantization, telemetry
from inception_tf.serving.classifier import Classifier
from inception_tf.serving.saved_model.folding import folded
from inception_tf.serving.saved_model.network import ServedNetwork
from inception_tf.serving.saved_model.plain import PlainNetwork
from inception_tf.serving.saved_model.signatures import Signatures, save
from inception_tf.weights.card import Facts, write_facts


@dataclasses.dataclass(frozen=True)
class Format:
    """What a format needs; packages are import name -> name to install.

    file: what is written.
    packages: of exporter and runtime.
    quantize: values of --quantize it knows -> further packages.
    """

    file: str
    packages: dict[str, str] = dataclasses.field(default_factory=dict)
    quantize: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)


FORMATS = {
    "savedmodel": Format("saved_model.pb"),
    "keras": Format("model.keras"),
    "onnx": Format("model.onnx", {"tf2onnx": "tf2onnx", "onnx": "onnx",
                                  "onnxruntime": "onnxruntime"}, {"int8": {}}),
    "litert": Format("model.tflite", {"ai_edge_litert": "ai-edge-litert"},
                     {"dynamic": {}, "int8": {}}),
    "openvino": Format("model.xml", {"openvino": "openvino"}, {"int8": {"nncf": "nncf"}}),
}


@dataclasses.dataclass(frozen=True)
class ExportRequest:
    """What to write.

    format: a name in FORMATS.
    precision: "float32", "bfloat16" or "float16"; the last two for a SavedModel.
    quantize: "none", or what the format's entry in FORMATS has.
    calibration_images: training images that give int8 its ranges.
    check_images: images of the validation split on which both networks are scored.
    """

    format: str = "savedmodel"
    precision: str = "float32"
    quantize: str = "none"
    calibration_images: int = 300
    check_images: int = 500

    def __post_init__(self) -> None:
        if self.precision != "float32" and self.format != "savedmodel":
            raise UsageError(f"--precision={self.precision} is for --format=savedmodel, not "
                             f"{self.format}")
        if self.quantize != "none" and self.quantize not in FORMATS[self.format].quantize:
            known = [name for name in FORMATS if self.quantize in FORMATS[name].quantize]
            raise UsageError(f"--quantize={self.quantize} is for --format={' or '.join(known)}, "
                             f"not {self.format}")

    @property
    def packages(self) -> dict[str, str]:
        """Import name -> name to install, of what it needs in addition to TensorFlow."""
        chosen = FORMATS[self.format]
        return chosen.packages | chosen.quantize.get(self.quantize, {})

    @property
    def is_exact(self) -> bool:
        """Whether answers differ from the network's by the rounding of float32 only."""
        return self.precision == "float32" and self.quantize == "none"


def require(request: ExportRequest) -> None:
    """Raises UsageError when a package that `request` needs is not installed."""
    missing = [package for module, package in request.packages.items()
               if importlib.util.find_spec(module) is None]
    if missing:
        quantized = f" --quantize={request.quantize}" if request.quantize != "none" else ""
        raise UsageError(f"--format={request.format}{quantized} needs {' and '.join(missing)}: pip "
                         f"install {' '.join(missing)}")


def package_versions(request: ExportRequest) -> dict[str, str]:
    """Package -> version, of what `request` needs in addition to TensorFlow."""
    return {package: importlib.metadata.version(package) for package in request.packages.values()}


def write(classifier: Classifier, folder: Path, request: ExportRequest) -> None:
    """Writes the network into `folder`.

    Raises: UsageError when int8 has no training images.
    """
    path = folder / FORMATS[request.format].file
    if request.format == "savedmodel":
        save(folder, Signatures(classifier, _served(classifier.model, request.precision)))
    elif request.format == "keras":
        _write_keras(classifier, path)
    else:
        _write_other(classifier, path, request)


def _served(model, precision):
    return ServedNetwork(model) if precision == "float32" else PlainNetwork(model, precision)


def _write_keras(classifier, path):
    """The network unfolded, for plain Keras and further training (--init_from)."""
    classifier.model.save(path)
    network = dataclasses.replace(classifier.network, aux_head=False, init_from="", freeze=())
    data = dataclasses.replace(classifier.data, data_dir="", manual_dir="")
    write_facts(str(path), Facts(Config(network=network, data=data), classifier.class_names,
                                 classifier.origin))


def _write_other(classifier, path, request):
    """By Keras' own exporters."""
    telemetry.switch_off()
    images = _calibration_images(classifier, request) if request.quantize == "int8" else None
    network = _with_probabilities(classifier)
    network(tf.zeros([1, *network.input.shape[1:]]))  # Keras exports only what was called
    options = _litert_options(request.quantize, images) if request.format == "litert" else {}
    with warnings.catch_warnings():
        # Keras 3.15 asks NumPy for names that tf2onnx uses and NumPy 2 lacks.
        warnings.simplefilter("ignore", FutureWarning)
        network.export(str(path), format=request.format, verbose=False, **options,
                       input_signature=[tf.TensorSpec(network.input.shape, name="images")])
    if images is not None and request.format in quantization.WRITERS:
        quantization.quantize(path, request.format, images)


def _with_probabilities(classifier):
    """The folded network with softmax on top, background left out."""
    network = folded(classifier.model)
    output = keras.layers.Softmax(name="softmax")(network.output)
    if classifier.first_class:
        output = output[:, classifier.first_class:]
    # Keras names the arguments of exported graphs after the model.
    return keras.Model(network.input, output, name=classifier.network.net)


def _litert_options(quantize, images):
    """Arguments for Keras' LiteRT exporter, which passes them to TensorFlow's converter."""
    if quantize == "none":
        return {}
    settings: dict[str, object] = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if quantize == "int8":
        settings["representative_dataset"] = lambda: ([one[np.newaxis]] for one in images)
        settings["target_spec"] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]}
    return settings


def _calibration_images(classifier, request):
    """Training images, cut as in scoring."""
    records, why_none = comparison.examples(classifier, classifier.data.train_split,
                                            request.calibration_images)
    if not records:
        raise UsageError(f"--quantize=int8 is calibrated on training images: {why_none}")
    return comparison.crops_of(classifier, [record.encoded for record in records])
