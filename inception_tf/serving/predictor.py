"""Pictures -> class probabilities, streamed: decoding runs in parallel with the network."""

import collections
import concurrent.futures
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from inception_tf.data import images
from inception_tf.data.pictures import list_pictures, read_picture, skipped_words
from inception_tf.data.views import Preprocessing, scoring_crop
from inception_tf.errors import UsageError
from inception_tf.runs.folder import CONFIG, meant
from inception_tf.serving import runtimes
from inception_tf.serving.classifier import Classifier, open_keras, open_run
from inception_tf.serving.manifest import MANIFEST, read_export_manifest

log = logging.getLogger(__name__)

BATCH_SIZE = 32
# Batches decoded ahead of the network.
AHEAD = 3


class Prediction(NamedTuple):
    """One picture: path, its crop [S, S, 3] float32 in [-1, 1], probabilities [K]; or why not."""

    path: str
    image: np.ndarray | None
    probabilities: np.ndarray | None
    error: str = ""


class Predictor(NamedTuple):
    """Classifies pictures.

    probabilities: images [n, S, S, 3] float32 in [-1, 1] -> [n, K].
    classifier: the network itself; None for an export, which gives only probabilities.
    """

    probabilities: Callable[[np.ndarray], np.ndarray]
    preprocessing: Preprocessing
    max_pixels: int
    class_names: tuple[str, ...]
    classifier: Classifier | None = None


def open_predictor(path: str, checkpoint: str | None = None) -> Predictor:
    """The Predictor of a run's folder, an exported folder or a .keras file.

    `checkpoint`, as in --checkpoint, is for a run's folder only; None is its newest.

    Raises: UsageError when it is none of these, damaged, or its runtime is not installed.
    """
    is_export = os.path.isfile(Path(path) / MANIFEST)
    if not is_export and os.path.isfile(Path(path) / CONFIG):
        return predictor_of(open_run(path, which=checkpoint or "newest"))
    if checkpoint is not None:
        raise UsageError(f"--checkpoint={checkpoint} has no use: --model={path} is no run's folder")
    if is_export:
        return _exported(path)
    if path.endswith(".keras") and not os.path.isdir(path):
        return predictor_of(open_keras(path))
    raise UsageError(f"--model={path!r} is no folder of a run or an export, and no .keras file; "
                     + (meant(path, MANIFEST) or meant(path, CONFIG) or "is it mistyped?"))


def image_paths(words: Iterable[str]) -> list[str]:
    """The files among `words`, and the pictures in the folders among them, sorted.

    What cannot be opened in a folder is included, so that it is reported with the others.

    Raises: UsageError for a word that is no file or folder, or a folder without pictures.
    """
    found: list[str] = []
    for word in words:
        if os.path.isdir(word):
            found += _paths_in(word)
        elif os.path.lexists(word):
            found.append(word)
        else:
            raise UsageError(f"no file or folder {word!r}")
    return found


def _paths_in(folder):
    listing = list_pictures(folder)
    passed_over = skipped_words(listing.skipped)
    paths = sorted(str(Path(folder, path)) for path, _ in listing.pictures + listing.problems)
    if not paths:
        raise UsageError(f"{folder} has no {', '.join(images.EXTENSIONS)} file{passed_over}")
    if passed_over:
        log.info("%s: %s pictures%s", folder, f"{len(listing.pictures):,}", passed_over)
    return paths


def predictions(predictor: Predictor, paths: Iterable[str]) -> Iterator[Prediction]:
    """A Prediction of each of `paths`, in their order; memory does not grow with their number."""
    batch: list[Prediction] = []
    for decoded in _decoded(predictor, paths):
        batch.append(decoded)
        if len(batch) == BATCH_SIZE:
            yield from _answered(predictor, batch)
            batch = []
    yield from _answered(predictor, batch)


def _answered(predictor, batch):
    good = [one.image for one in batch if one.image is not None]
    answers = iter(predictor.probabilities(np.stack(good)) if good else ())
    for one in batch:
        yield one if one.image is None else one._replace(probabilities=next(answers))


def _decoded(predictor, paths):
    """Predictions without probabilities, decoded by threads at most AHEAD batches early."""
    crop = tf.function(
        lambda encoded: scoring_crop(encoded, predictor.preprocessing, predictor.max_pixels),
        input_signature=[tf.TensorSpec([], tf.string)])
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = collections.deque()
        for path in paths:
            waiting.append(pool.submit(_decode, crop, path, predictor.max_pixels))
            if len(waiting) > AHEAD * BATCH_SIZE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decode(crop, path, max_pixels):
    try:
        encoded = read_picture(path)
        return Prediction(path, crop(encoded).numpy(), None)
    except OSError as error:
        return Prediction(path, None, None, error.strerror or str(error))
    except tf.errors.OpError:
        return Prediction(path, None, None, images.cause_of_failure(encoded, max_pixels))


def predictor_of(classifier: Classifier) -> Predictor:
    """The Predictor of a Classifier."""
    run = runtimes.probabilities_of(classifier.model, classifier.first_class)
    return Predictor(run, classifier.preprocessing, classifier.data.max_image_pixels,
                     classifier.class_names, classifier)


def _exported(folder):
    manifest = read_export_manifest(folder)
    try:
        run = runtimes.of_manifest(Path(folder), manifest)
    except ImportError as error:
        raise UsageError(f"--model={folder} needs {error.name}, which is not installed") from None
    return Predictor(run, Preprocessing(**manifest["preprocessing"]),
                     manifest["max_image_pixels"], tuple(manifest["class_names"]))
