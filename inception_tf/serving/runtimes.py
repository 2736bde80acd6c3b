"""Exported files on the runtime of their format: float32 images in, probabilities out."""

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from inception_tf.errors import InceptionError, UsageError
from inception_tf.serving.classifier import open_keras
from inception_tf.serving.saved_model.operations import refuse_unknown_ops


def of_manifest(folder: Path,
                manifest: Mapping[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """The function of `load`, tried with one black image.

    Args:
        folder: an exported folder, its files verified.
        manifest: its manifest.

    Raises:
        UsageError: a file is damaged, or is not what the manifest says.
        ImportError: the runtime is not installed.
    """
    run = load(folder, manifest["kind"], manifest["first_class"])
    size, classes = manifest["preprocessing"]["image_size"], len(manifest["class_names"])
    with _one_line(folder):
        given = run(np.zeros([1, size, size, 3], np.float32)).shape
    if given != (1, classes):
        raise UsageError(f"{folder} is damaged: its network gives {list(given)} for an image, its "
                         f"manifest names {classes} classes")
    return run


@contextlib.contextmanager
def _one_line(folder):
    """What a runtime raises, each a class of its own, is a UsageError."""
    try:
        yield
    except (InceptionError, ImportError):
        raise
    except Exception as error:
        cause = " ".join(str(error).split())[:300]
        raise UsageError(
            f"{folder} is damaged, export it again: its runtime says {cause}") from None


def load(folder, kind, first_class=0):
    """A function: images [n, S, S, 3] float32 in [-1, 1] -> probabilities [n, K] float32.

    Args:
        folder: an exported folder, its files verified.
        kind: of its manifest: "savedmodel" or a name in formats.FORMATS.
        first_class: of its manifest; for kind "keras", which gives logits.

    Raises: as `of_manifest`.
    """
    loaders = {"savedmodel": _saved_model, "onnx": _onnx, "litert": _litert,
               "openvino": _openvino}
    with _one_line(folder):
        return _keras(folder, first_class) if kind == "keras" else loaders[kind](folder)


def _saved_model(folder):
    refuse_unknown_ops(folder)
    model = tf.saved_model.load(str(folder))
    # Held by the function: variables go when the model does.
    return lambda images, model=model: model.signatures["images"](
        images=tf.constant(images))["probabilities"].numpy()


def _keras(folder, first_class):
    return probabilities_of(open_keras(str(folder / "model.keras")).model, first_class)


def probabilities_of(model, first_class):
    """The function of a Keras model that gives logits, traced once for all batch sizes."""
    spec = tf.TensorSpec([None, *model.input.shape[1:]], tf.float32)
    logits = tf.function(lambda x: model(x, training=False), input_signature=[spec],
                         autograph=False)
    return lambda images: tf.nn.softmax(logits(images)).numpy()[:, first_class:]


def _onnx(folder):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it raises says the same
    session = onnxruntime.InferenceSession(folder / "model.onnx", options,
                                           providers=["CPUExecutionProvider"])
    (name,) = (argument.name for argument in session.get_inputs())
    return lambda images: session.run(None, {name: np.ascontiguousarray(images)})[0]


def _litert(folder):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=os.cpu_count())
    (argument,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images):
        # Strict: of another height and width it would make another network.
        interpreter.resize_tensor_input(argument["index"], images.shape, strict=True)
        interpreter.allocate_tensors()
        interpreter.set_tensor(argument["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(answer["index"])

    return run


def _openvino(folder):
    import openvino

    # By itself it takes bfloat16 where the processor has it, and other answers with it.
    model = openvino.Core().compile_model(folder / "model.xml", "CPU",
                                          {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: model(images)[0].copy()
