"""Pictures -> class probabilities, streamed: decoding runs in parallel with the network."""

import codecs
import collections
import concurrent.futures
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from inception_tf.data import images
from inception_tf.data.pictures import list_pictures, read_picture, skipped_words
from inception_tf.data.views import Preprocessing, scoring_crop
from inception_tf.errors import DataError, NonFiniteError, UsageError
from inception_tf.nets.sizes import image_bytes
from inception_tf.runs.checkpoint import ARRAYS
from inception_tf.runs.folder import CONFIG, meant
from inception_tf.runs.network import require_room_for_batch
from inception_tf.runtime.memory import require_memory
from inception_tf.serving import runtimes
from inception_tf.serving.classifier import Classifier, open_keras, open_run
from inception_tf.serving.manifest import MANIFEST, form_of, read_export_manifest
from inception_tf.weights.keras_file import ENDINGS

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
    classifier: the network itself; None for an export that gives only probabilities.
    form: of an export its format, with precision or quantization: "savedmodel, bfloat16".
    """

    probabilities: Callable[[np.ndarray], np.ndarray]
    preprocessing: Preprocessing
    max_pixels: int
    class_names: tuple[str, ...]
    classifier: Classifier | None = None
    form: str = "keras"


def open_predictor(path: str, checkpoint: str | None = None) -> Predictor:
    """The Predictor of a run's folder, an exported folder, or one of our files with its card.

    A file is a .keras or a .weights.h5. `checkpoint`, as in --checkpoint, is for a run's folder
    only; None is its newest.

    Raises: UsageError when it is none of these, damaged, or its runtime is not installed.
    """
    # A checkpoint has a manifest of that name as well.
    is_export = os.path.isfile(Path(path) / MANIFEST) and not os.path.isfile(Path(path) / ARRAYS)
    if not is_export and os.path.isfile(Path(path) / CONFIG):
        return predictor_of(open_run(path, which=checkpoint or "newest"))
    if checkpoint is not None:
        raise UsageError(f"--checkpoint={checkpoint} has no use: --model={path} is no run's folder")
    if is_export:
        return _exported(path)
    if path.endswith(ENDINGS) and not os.path.isdir(path):
        return predictor_of(open_keras(path))
    raise UsageError(f"--model={path!r} is no folder of a run or an export, and no .keras or "
                     ".weights.h5 file; "
                     + (meant(path, MANIFEST) or meant(path, CONFIG) or "is it mistyped?"))


def image_paths(words: Iterable[str]) -> list[str]:
    """The files among `words`, the pictures in the folders among them, and those of the lists.

    A list is a file that ends in .txt: a path of a picture or a folder per line. Pictures of a
    folder are sorted; what cannot be opened in it is included, so that it is reported with the
    others.

    Raises: UsageError for a word that is no file or folder, or holds no picture.
    """
    found: list[str] = []
    for word in words:
        if word.lower().endswith(".txt") and os.path.isfile(word):
            found += _paths_of_list(word)
        else:
            found += _paths_of(word)
    return found


def _paths_of(word, where=""):
    if os.path.isdir(word):
        return _paths_in(word)
    if os.path.lexists(word):
        return [word]
    raise UsageError(f"{where}no file or folder {word!r}")


def _paths_of_list(name):
    try:
        lines = Path(name).read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from None
    found = [path for number, line in enumerate(lines, 1) if line.strip()
             for path in _paths_of(os.fsdecode(line), f"{name}, line {number}: ")]
    if not found:
        raise UsageError(f"{name} names no picture")
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


def predictions(predictor: Predictor, paths: Iterable[str],
                batch_size: int = BATCH_SIZE) -> Iterator[Prediction]:
    """A Prediction of each of `paths`, in their order; memory does not grow with their number.

    Raises: NonFiniteError where a probability is NaN or infinite.
    """
    for batch in decoded_batches(predictor, paths, batch_size):
        good = [one.image for one in batch if one.image is not None]
        found = predictor.probabilities(np.stack(good)) if good else ()
        require_finite(found, [one for one in batch if not one.error], "probabilities")
        answers = iter(found)
        for one in batch:
            yield one if one.error else one._replace(probabilities=next(answers))


def require_finite(rows: Iterable[np.ndarray], pictures: Iterable[Prediction], what: str) -> None:
    """Raises NonFiniteError naming the first of `pictures` whose row of numbers is not finite."""
    for row, picture in zip(rows, pictures, strict=True):
        if not np.isfinite(row).all():
            raise NonFiniteError(f"{picture.path} has {what} that are not finite")


def decoded_batches(predictor: Predictor, paths: Iterable[str],
                    batch_size: int = BATCH_SIZE) -> Iterator[list[Prediction]]:
    """Predictions without probabilities, `batch_size` at a time, decoded ahead by threads."""
    return batched(_decoded(predictor, paths, AHEAD * batch_size), batch_size)


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` successive items; the last may be shorter."""
    remaining = iter(items)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def require_room(predictor: Predictor, batch_size: int) -> None:
    """Raises UsageError where --batch_size pictures clearly do not fit in memory."""
    size = predictor.preprocessing.image_size
    if predictor.classifier is not None:
        require_room_for_batch(predictor.classifier.network, batch_size, "--batch_size")
    require_memory((AHEAD + 1) * batch_size * image_bytes(size),
                   f"--batch_size: {AHEAD + 1} batches of {batch_size:,} images of {size}x{size}",
                   "take a smaller --batch_size")


def answer_of(prediction: Prediction, names: Sequence[str], top: int) -> dict[str, Any]:
    """A Prediction for JSON: {"image", "top": [{"class", "label", "probability"}, ...]}.

    Best first, of equal ones the lowest class; {"image", "error"} where it could not be read.
    `names` are the labels of the classes.
    """
    if prediction.probabilities is None:
        return {"image": prediction.path, "error": prediction.error}
    scores = prediction.probabilities
    best = (-scores).argsort(kind="stable")[:top]
    return {"image": prediction.path, "top": [
        {"class": int(i), "label": names[i], "probability": round(float(scores[i]), 6)}
        for i in best]}


def _decoded(predictor, paths, ahead):
    """Predictions without probabilities, at most `ahead` pictures early."""
    cut = cutter_of(predictor)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = collections.deque()
        for path in paths:
            waiting.append(pool.submit(_decode, cut, path))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decode(cut, path):
    try:
        return Prediction(path, cut(read_picture(path)), None)
    except OSError as error:
        return Prediction(path, None, None, error.strerror or str(error))
    except DataError as error:
        return Prediction(path, None, None, str(error))


def cutter_of(predictor: Predictor) -> Callable[[bytes], np.ndarray]:
    """Bytes of a picture -> what the network sees of it: [S, S, 3] float32 in [-1, 1].

    Called, it raises DataError with the cause where they cannot be decoded.
    """
    crop = tf.function(
        lambda encoded: scoring_crop(encoded, predictor.preprocessing, predictor.max_pixels),
        input_signature=[tf.TensorSpec([], tf.string)], autograph=False)

    def cut(encoded):
        try:
            return crop(encoded).numpy()
        except tf.errors.OpError:
            cause = images.cause_of_failure(encoded, predictor.max_pixels)
            raise DataError(cause) from None

    return cut


def predictor_of(classifier: Classifier) -> Predictor:
    """The Predictor of a Classifier."""
    run = runtimes.probabilities_of(classifier.model, classifier.first_class)
    return Predictor(run, classifier.preprocessing, classifier.data.max_image_pixels,
                     classifier.class_names, classifier)


def _exported(folder):
    manifest = read_export_manifest(folder)
    log.info("%s: %s", folder, form_of(manifest))
    if manifest["kind"] == "keras":
        classifier = open_keras(str(Path(folder, "model.keras")))
        answers = runtimes.probabilities_of(classifier.model, manifest["first_class"])
        runtimes.check(answers, Path(folder), manifest)
        return predictor_of(classifier)
    try:
        run = runtimes.of_manifest(Path(folder), manifest)
    except ImportError as error:
        raise UsageError(f"--model={folder} needs {error.name}, which is not installed") from None
    return Predictor(run, Preprocessing(**manifest["preprocessing"]),
                     manifest["max_image_pixels"], tuple(manifest["class_names"]),
                     form=form_of(manifest))
