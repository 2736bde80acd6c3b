"""Pooled features of pictures: what the network knows of them before it names a class."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from inception_tf.data.pictures import read_picture
from inception_tf.errors import DataError, UsageError
from inception_tf.runtime.files import sha256_of
from inception_tf.serving.manifest import MANIFEST, read_export_manifest
from inception_tf.serving.predictor import (
    Prediction,
    Predictor,
    decoded_batches,
    open_predictor,
    require_finite,
)
from inception_tf.serving.saved_model.operations import refuse_unknown_ops


class Embedder(NamedTuple):
    """A network without its classifier.

    features: n pictures (decoded Predictions) -> [n, C] float32, after the global mean pool.
    size: C.
    sha256: of the weights, or of a SavedModel's manifest.
    """

    predictor: Predictor
    features: Callable[[Sequence[Prediction]], np.ndarray]
    size: int
    sha256: str


def open_embedder(path: str, checkpoint: str | None = None) -> Embedder:
    """The Embedder of a run's folder, an exported SavedModel or Keras model, or one of our files.

    `checkpoint` as in `open_predictor`.

    Raises: UsageError as `open_predictor`, and for an export that gives only probabilities.
    """
    predictor = open_predictor(path, checkpoint)
    if predictor.classifier is not None:
        return _of_model(predictor, predictor.classifier.model)
    kind = read_export_manifest(path)["kind"]
    if kind != "savedmodel":
        raise UsageError(f"--model={path} is an export for {kind}, which gives only probabilities: "
                         "take the run's folder, a SavedModel or a .keras file")
    return _of_saved_model(predictor, path)


def features_of(embedder: Embedder, paths: Iterable[str], batch_size: int,
                ) -> Iterator[tuple[list[Prediction], np.ndarray]]:
    """(n decoded pictures, features [k, C] of the k that could be read), a batch at a time.

    Raises:
        NonFiniteError: a feature is NaN or infinite.
        DataError: a file was changed while it was read.
    """
    for batch in decoded_batches(embedder.predictor, paths, batch_size):
        good = [one for one in batch if not one.error]
        found = embedder.features(good) if good else np.zeros([0, embedder.size], np.float32)
        require_finite(found, good, "features")
        yield batch, found


def _of_model(predictor, model):
    body = keras.Model(model.input, model.get_layer("pre_logits").output)
    spec = tf.TensorSpec([None, *model.input.shape[1:]], tf.float32)
    pooled = tf.function(lambda images: body(images, training=False), input_signature=[spec],
                         autograph=False)
    digest = hashlib.sha256()
    for weight in body.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).tobytes())

    def features(good):
        return pooled(np.stack([one.image for one in good])).numpy()

    return Embedder(predictor, features, body.output.shape[-1], digest.hexdigest())


def _of_saved_model(predictor, folder):
    """Its signature takes files, which are thus read twice: the first time shows the bad ones."""
    refuse_unknown_ops(Path(folder))
    loaded = tf.saved_model.load(folder)
    # The function holds the model: its variables are freed with it.
    pooled, held = loaded.signatures["features"], [loaded]

    def features(good, held=held):
        try:
            files = tf.constant([read_picture(one.path) for one in good])
            return pooled(image_bytes=files)["features"].numpy()
        except (OSError, tf.errors.OpError):
            raise DataError(f"a picture from {good[0].path} to {good[-1].path} was changed while "
                            "it was read: start again") from None

    return Embedder(predictor, features, pooled.structured_outputs["features"].shape[-1],
                    sha256_of(os.path.join(folder, MANIFEST)))
