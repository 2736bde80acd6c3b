"""How far an exported network's answers are from those of the network it was made from."""

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from inception_tf.data.open import open_source
from inception_tf.data.views import scoring_crop
from inception_tf.errors import DataError, StorageError, UsageError
from inception_tf.serving.classifier import Classifier
from inception_tf.serving.saved_model import fresh_process
from inception_tf.serving.saved_model.plain import logits_and_features

# Of probabilities, and of features over their standard deviation. In float32 folding and another
# order of sums give 1e-6, a wrong crop or a lost layer 1e-1. Trained networks gave up to 0.0025
# and 0.024 in float16, 0.009 and 0.24 in bfloat16, a wrong convolution 0.29 and 5
# (docs/lab/serving.md).
LIMITS = {"float32": {"probabilities": 1e-4, "features": 1e-4},
          "float16": {"probabilities": 0.02, "features": 0.1},
          "bfloat16": {"probabilities": 0.1, "features": 0.5}}


def cropper(classifier: Classifier) -> Callable[[list[bytes]], np.ndarray]:
    """The function n encoded images -> [n, S, S, 3] float32 in [-1, 1], cut for the network."""
    crop = tf.function(
        lambda one: scoring_crop(one, classifier.preprocessing, classifier.data.max_image_pixels),
        input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    return lambda encoded: np.stack([crop(one).numpy() for one in encoded])


def crops_of(classifier: Classifier, encoded: list[bytes]) -> np.ndarray:
    """Encoded images, cut for the network.

    Shape: n bytes -> [n, S, S, 3] float32 in [-1, 1].
    """
    return cropper(classifier)(encoded)


def live_answers(classifier: Classifier, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(probabilities [n, K], features [n, C]) of the Keras model itself."""
    logits, features = logits_and_features(classifier.model, tf.constant(images),
                                           lambda layer, x: layer(x, training=False))
    return tf.nn.softmax(logits).numpy()[:, classifier.first_class:], features.numpy()


def saved_model_difference(classifier: Classifier, folder: Path, encoded: list[bytes],
                           precision: str = "float32") -> dict[str, float]:
    """Largest differences of a SavedModel that a fresh process loads.

    All images go in one batch, and the first alone, for which it may take other kernels.

    Args:
        classifier: the network it was made from.
        folder: the SavedModel.
        encoded: files of images.
        precision: a name in LIMITS.

    Returns: {"probabilities": absolute, "features": over their standard deviation}.

    Raises: StorageError when that process fails, or a difference is above the limit.
    """
    answers, (probabilities, features) = _ask_in_fresh_process(
        folder, encoded, meanwhile=lambda: live_answers(classifier, crops_of(classifier, encoded)))
    found = {
        "probabilities": _largest(answers, "serving_default/probabilities", probabilities),
        "features": _largest(answers, "features/features", features) / features.std(),
    }
    return {name: checked(value, f"{name} of the SavedModel", LIMITS[precision][name])
            for name, value in found.items()}


def _largest(answers, name, expected):
    """Of all images in one batch, and of the first alone."""
    return max(largest_difference(answers[f"{number}/{name}"], expected[:number])
               for number in (len(expected), 1))


def largest_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference; infinity where shapes differ or a number is not finite."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max())


def checked(difference: float, what: str, limit: float) -> float:
    """`difference`; StorageError when it is above `limit`."""
    if not difference <= limit:
        raise StorageError(f"{what} differ by {difference:.1e} from those of the network, more "
                           f"than {limit:.0e}: not exported")
    return float(difference)


def _ask_in_fresh_process(folder, encoded, meanwhile):
    """(its answers, what meanwhile() gives: starting TensorFlow takes seconds on one core)."""
    with tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = Path(scratch) / "inputs.npz", Path(scratch) / "outputs.npz"
        np.savez(inputs, lengths=[len(one) for one in encoded],
                 content=np.frombuffer(b"".join(encoded), np.uint8))
        child = subprocess.Popen(
            [sys.executable, "-P", fresh_process.__file__, str(folder), str(inputs),
             str(outputs)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"})
        try:
            live = meanwhile()
            _, errors = child.communicate()
        finally:
            child.kill()  # does nothing if it has ended
            child.wait()
        if child.returncode:
            raise StorageError("a fresh process could not use the exported model: "
                               f"{errors.strip()[-300:]}")
        with np.load(outputs) as file:
            return dict(file), live


SMOOTH_SIZES = {"JPEG": (600, 512, 3), "PNG": (721, 720, 4)}
NOISE_SIZES = ((75, 75), (300, 200), (181, 402))


def encoded_images() -> list[bytes]:
    """Noise, and pictures as smooth as photographs, of mixed sizes, as PNG and JPEG."""
    generator = np.random.default_rng(0)
    noise = [Image.fromarray(generator.integers(0, 256, (*size, 3), np.uint8))
             for size in NOISE_SIZES]
    smooth = [(Image.fromarray(generator.integers(0, 256, (12, 12, channels), np.uint8))
               .resize((width, height), Image.Resampling.BICUBIC), kind)
              for kind, (height, width, channels) in SMOOTH_SIZES.items()]
    return [_file(image, kind) for image, kind in [*((one, "PNG") for one in noise), *smooth]]


def examples(classifier: Classifier, split: str, count: int) -> tuple[list, str]:
    """(records, why there are none) of up to `count` examples spread over a split.

    The data set may not be on the machine that exports; one of other classes is not used.
    """
    try:
        source = open_source(classifier.data, split)
    except (UsageError, DataError) as error:
        return [], str(error)
    if source.class_names != classifier.class_names:
        return [], f"{source.name}/{split} has other classes than the network"
    count = min(count, source.num_examples)
    return [source.read(i * source.num_examples // count) for i in range(count)], ""


def _file(image, kind):
    file = io.BytesIO()
    image.save(file, format=kind)
    return file.getvalue()
