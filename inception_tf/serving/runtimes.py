"""Loads an exported file on the runtime of its format: float32 images in, probabilities out."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from inception_tf.errors import InceptionError, UsageError
from inception_tf.serving import telemetry
from inception_tf.serving.classifier import open_keras
from inception_tf.serving.manifest import ExportManifest
from inception_tf.serving.saved_model.operations import refuse_unknown_ops
from inception_tf.text import one_line

# Images [n, S, S, 3] float32 in [-1, 1] -> probabilities [n, K] float32.
Probabilities = Callable[[np.ndarray], np.ndarray]


def of_manifest(folder: Path, manifest: ExportManifest) -> Probabilities:
    """As `load`, of a folder whose files are verified, and tried (`check`).

    Raises:
        UsageError: a file is damaged, or is not what the manifest says.
        ImportError: the runtime is not installed.
    """
    run = load(folder, manifest["kind"], manifest["first_class"])
    check(run, folder, manifest)
    return run


def check(run: Probabilities, folder: Path, manifest: ExportManifest) -> None:
    """Tries the network of `folder` with one black image.

    Raises: UsageError when it fails, or does not give what the manifest says.
    """
    size, classes = manifest["preprocessing"]["image_size"], len(manifest["class_names"])
    with _one_line(folder):
        given = run(np.zeros([1, size, size, 3], np.float32)).shape
    if given != (1, classes):
        raise UsageError(f"{folder} is damaged: its network gives {list(given)} for an image, its "
                         f"manifest names {classes} classes")


@contextlib.contextmanager
def _one_line(folder):
    """Whatever a runtime raises, each its own classes, becomes a UsageError."""
    try:
        yield
    except (InceptionError, ImportError):
        raise
    except Exception as error:
        raise UsageError(f"{folder} is damaged, export it again: its runtime says "
                         f"{one_line(error)}") from None


def load(folder: Path, kind: str, first_class: int = 0) -> Probabilities:
    """The network of an exported folder of this kind; `first_class` is for "keras", the only
    kind that gives logits.

    Raises: as `of_manifest`.
    """
    telemetry.switch_off()
    with _one_line(folder):
        if kind == "keras":
            return probabilities_of(open_keras(str(folder / "model.keras")).model, first_class)
        return {"savedmodel": _saved_model, "onnx": _onnx, "litert": _litert,
                "openvino": _openvino}[kind](folder)


def _saved_model(folder):
    refuse_unknown_ops(folder)
    model = tf.saved_model.load(str(folder))
    # The function holds the model: its variables are freed with it.
    return lambda images, model=model: model.signatures["images"](
        images=tf.constant(images))["probabilities"].numpy()


def probabilities_of(model: keras.Model, first_class: int) -> Probabilities:
    """Of a Keras model that gives logits, traced once for all batch sizes."""
    spec = tf.TensorSpec([None, *model.input.shape[1:]], tf.float32)
    logits = tf.function(lambda x: model(x, training=False), input_signature=[spec],
                         autograph=False)
    return lambda images: tf.nn.softmax(logits(images)).numpy()[:, first_class:]


def _onnx(folder):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its exceptions say the same
    session = onnxruntime.InferenceSession(folder / "model.onnx", options,
                                           providers=["CPUExecutionProvider"])
    (name,) = (argument.name for argument in session.get_inputs())
    return lambda images: session.run(None, {name: np.ascontiguousarray(images)})[0]


def _litert(folder):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=os.cpu_count())
    (argument,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images):
        # Strict: it would silently rebuild the network for another height and width.
        interpreter.resize_tensor_input(argument["index"], images.shape, strict=True)
        interpreter.allocate_tensors()
        interpreter.set_tensor(argument["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(answer["index"])

    return run


def _openvino(folder):
    import openvino

    # By default it computes in bfloat16 where the processor can, and the answers differ.
    model = openvino.Core().compile_model(folder / "model.xml", "CPU",
                                          {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: model(images)[0].copy()
