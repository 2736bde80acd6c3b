"""Files of ONNX and OpenVINO in 8-bit integers, with ranges from training images.

The settings are those that lost no accuracy (docs/lab/serving.md): weights per channel, ranges
from the smallest to the largest value seen, and classifier and softmax left in float32, where
1,000 classes would share a few probabilities.
"""

import contextlib
import io
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from inception_tf.runtime.progress import bar

# Of ONNX: the classifier by either name, and softmax.
_LEFT_IN_FLOAT = ("Gemm", "MatMul", "Softmax")


def quantize(path: Path, kind: str, images: np.ndarray) -> None:
    """Rewrites the float32 model at `path`, of the format `kind`, in 8 bits.

    images [n, S, S, 3] float32: those that give the ranges.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        written = Path(scratch) / path.name
        WRITERS[kind](path, written, images)
        for file in Path(scratch).glob(f"{path.stem}.*"):
            shutil.move(file, path.parent / file.name)


def _onnx(path, written, images):
    """Unsigned activations, signed weights: the pair that processors have instructions for."""
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = written.with_name("prepared")
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    graph = onnx.load(prepared).graph
    quantization.quantize_static(
        prepared, written, _Reader(graph.input[0].name, _seen(images)), per_channel=True,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        nodes_to_exclude=[node.name for node in graph.node if node.op_type in _LEFT_IN_FLOAT])


def _seen(images):
    return bar(images, len(images), "image", "ranges of 8 bits")


class _Reader:
    """Images as ONNX Runtime asks for them: an input by name, None at the end."""

    def __init__(self, name, images):
        self._name, self._images = name, iter(images)

    def get_next(self):
        image = next(self._images, None)
        return None if image is None else {self._name: image[np.newaxis]}


def _openvino(path, written, images):
    import nncf
    import openvino
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    nncf.set_log_level(logging.ERROR)
    settings = AdvancedQuantizationParameters(
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        disable_bias_correction=True)
    with contextlib.redirect_stdout(io.StringIO()):  # its own bars of progress
        model = nncf.quantize(
            openvino.Core().read_model(path),
            nncf.Dataset(_seen(images), lambda image: image[np.newaxis]), subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(types=["MatMul"]),  # the classifier
            advanced_parameters=settings)
    openvino.save_model(model, written, compress_to_fp16=False)


# Format -> the function that writes the model at one path, quantized, to another.
WRITERS: dict[str, Callable[[Path, Path, np.ndarray], None]] = {
    "onnx": _onnx, "openvino": _openvino}
