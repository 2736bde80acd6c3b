"""An exported network beside the one it was made from, on the runtime that will run it."""

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from inception_tf.runtime.progress import bar
from inception_tf.serving import comparison, runtimes
from inception_tf.serving.classifier import Classifier
from inception_tf.serving.formats import FORMATS, ExportRequest

BATCH_SIZES = (1, 8)
TIMED_PASSES = 5


def compare(classifier: Classifier, folder: Path, request: ExportRequest) -> dict[str, Any]:
    """The manifest's "comparison": differences; of all but the float32 SavedModel also size,
    speed, and errors on the validation split.

    Raises: StorageError when the answers are not those of the network (not for quantized).
    """
    if request.format != "savedmodel":
        return _beside(classifier, folder, request)
    examples, _ = comparison.examples(classifier, classifier.data.eval_split, 8)
    encoded = comparison.encoded_images() + [one.encoded for one in examples]
    difference = comparison.saved_model_difference(classifier, folder, encoded, request.precision)
    found = {"images": len(encoded), "largest_difference": difference}
    return found if request.is_exact else {**_beside(classifier, folder, request), **found}


def _beside(classifier, folder, request):
    original = runtimes.probabilities_of(classifier.model, classifier.first_class)
    exported = runtimes.load(folder, request.format, classifier.first_class)
    images = comparison.crops_of(classifier, comparison.encoded_images())
    difference = comparison.largest_difference(exported(images), original(images))
    if request.is_exact:
        comparison.checked(difference, f"probabilities of {FORMATS[request.format].file}",
                           comparison.LIMITS["float32"]["probabilities"])
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
    """Top-1 errors of both on the same validation images, and the share of these whose class
    changed; or why there are none."""
    if not count:
        return {}
    records, why_none = comparison.examples(classifier, classifier.data.eval_split, count)
    if not records:
        return {"accuracy_not_measured": why_none}
    crops, answers = comparison.cropper(classifier), []
    batches = [records[i:i + BATCH_SIZES[-1]] for i in range(0, len(records), BATCH_SIZES[-1])]
    for batch in bar(batches, len(batches), "batch", "scoring both"):
        images = crops([record.encoded for record in batch])
        answers.append([run(images).argmax(1) for run in (original, exported)])
    before, after = np.concatenate(answers, axis=1)
    labels = np.array([record.label for record in records])
    return {"accuracy_images": len(records),
            "accuracy": {"original": float((before != labels).mean()),
                         "exported": float((after != labels).mean())},
            "answers_changed": float((before != after).mean())}
