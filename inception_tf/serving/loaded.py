"""`inception_tf.load`: a trained network, from whatever holds it, ready to classify pictures."""

import os
from collections.abc import Iterable
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from inception_tf.data.pictures import read_picture
from inception_tf.errors import DataError, UsageError
from inception_tf.labels import readable_names
from inception_tf.serving.predictor import (
    BATCH_SIZE,
    Predictor,
    answer_of,
    cutter_of,
    image_paths,
    open_predictor,
    predictions,
)

# A file's path, its bytes, or pixels: uint8 [h, w, 3].
Picture: TypeAlias = str | os.PathLike | bytes | np.ndarray


class LoadedModel:
    """A trained network with all that classifying a picture takes; `load` makes it.

    Attributes:
        model: the Keras model, float32 images [n, S, S, 3] in [-1, 1] -> logits [n, K], or
            [n, K + 1] with TF-slim's background class first; None for an export that holds no
            Keras model (every `--format` but keras).
        classes: names of the K classes in the order of the outputs, background not counted.
        form: "keras", or of an export its format, with precision or quantization:
            "savedmodel, bfloat16".
    """

    def __init__(self, predictor: Predictor):
        self._predictor = predictor
        self._cut = cutter_of(predictor)
        self.model: keras.Model | None = predictor.classifier and predictor.classifier.model
        self.classes: tuple[str, ...] = predictor.class_names
        self.form: str = predictor.form

    def preprocess(self, pictures: Picture | Iterable[Picture]) -> np.ndarray:
        """A batch for `model`: each picture decoded, cut and resized as when it is scored.

        Takes one picture or several: paths, bytes of JPEG, PNG, GIF, BMP or WebP files, and
        arrays of pixels, uint8 [h, w, 3].

        Shape: n pictures -> [n, S, S, 3] float32 in [-1, 1].

        Raises:
            UsageError: an array of another shape or type.
            DataError: a picture that cannot be read; it is named, with the cause.
        """
        batch = [self._one(number, picture) for number, picture in enumerate(_several(pictures))]
        size = self._predictor.preprocessing.image_size
        return np.stack(batch) if batch else np.zeros([0, size, size, 3], np.float32)

    def predict(self, paths: str | os.PathLike | Iterable[str | os.PathLike], top: int = 5,
                batch_size: int = BATCH_SIZE) -> list[dict[str, Any]]:
        """The likeliest classes of pictures, as `inception-tf predict` gives them.

        Args:
            paths: of pictures and of folders of pictures, which are gone through at any depth.
            top: classes per picture, 1 or more.
            batch_size: pictures that go through the network together, 1 or more.

        Returns: per picture a dict as a line of `predict --output`: "image" and "top", a list of
            {"class", "label", "probability"}, best first; "image" and "error" for one that could
            not be read.

        Raises: UsageError for a path where nothing is, or a number below 1.
        """
        for name, number in (("top", top), ("batch_size", batch_size)):
            if not isinstance(number, (int, np.integer)) or number < 1:
                raise UsageError(f"{name} is a whole number above 0, got {number!r}")
        names = readable_names(self.classes)
        found = image_paths(os.fspath(path) for path in _several(paths))
        return [answer_of(prediction, names, top)
                for prediction in predictions(self._predictor, found, batch_size)]

    def _one(self, number, picture):
        """A picture as the network sees it; a DataError names it."""
        is_path = isinstance(picture, (str, os.PathLike))
        name = os.fspath(picture) if is_path else f"picture {number}"
        try:
            return self._cut(read_picture(name) if is_path else _encoded(name, picture))
        except (DataError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{name}: {reason}") from None


def load(path: str | os.PathLike) -> LoadedModel:
    """A trained network with its preprocessing and its classes.

    `path` is a run's folder (its newest checkpoint's averaged weights), a folder that
    `inception-tf export` wrote, or a file that `export` or `convert` wrote with its card: .keras
    or .weights.h5.

    Raises:
        UsageError: it is none of these, or damaged, or the runtime of its format is missing.
        CheckpointError: the run has checkpoints and none is valid.
    """
    return LoadedModel(open_predictor(os.fspath(path)))


def _several(given):
    """One picture as a list of one."""
    is_one = isinstance(given, (str, os.PathLike, bytes)) or (
        isinstance(given, np.ndarray) and given.ndim == 3)
    return [given] if is_one else given


def _encoded(name, picture):
    """A picture as the bytes of a file; of pixels without loss, so that they are cut alike."""
    if isinstance(picture, bytes):
        return picture
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or (
            picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0):
        what = (f"{picture.dtype} {list(picture.shape)}" if isinstance(picture, np.ndarray)
                else type(picture).__name__)
        raise UsageError(f"{name} is {what}: give a path, the bytes of a file, or pixels as an "
                         "array uint8 [h, w, 3]")
    return tf.io.encode_png(picture, compression=1).numpy()
