"""What a scoring got wrong, class by class, as CSV for other programs."""

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np

from inception_tf.evaluation.report.outcomes import Outcomes, by_class
from inception_tf.evaluation.scores import wilson_interval
from inception_tf.runtime.outputs import is_file

_RATE = ("{0}_errors", "{0}_error", "{0}_low", "{0}_high")
CLASS_COLUMNS = ("class", "name", "images", *(column.format(rate) for rate in ("top1", "top5")
                                              for column in _RATE))
PAIR_COLUMNS = ("true", "true_name", "predicted", "predicted_name", "images")


def table_paths(output: str) -> dict[str, str]:
    """Key of TABLES -> its path beside the JSON file `output`.

    r.json has r.classes.csv and r.confusion.csv beside it; standard output, a pipe and a device
    have nothing.
    """
    stem = output.removesuffix(".json")
    return {what: f"{stem}.{what}.csv" for what in TABLES} if is_file(output) else {}


def classes_csv(outcomes: Outcomes, class_names: Sequence[str]) -> str:
    """A line per class (CLASS_COLUMNS): images, errors, their shares and 95 % intervals (Wilson).

    An image counts for each of its right classes. A class without images has no shares.
    """
    images, top1 = by_class(outcomes)
    _, top5 = by_class(outcomes, outcomes.in_five)
    return _csv(CLASS_COLUMNS, (
        (number, name, images[number], *_rates(top1[number], images[number]),
         *_rates(top5[number], images[number])) for number, name in enumerate(class_names)))


def confusion_csv(outcomes: Outcomes, class_names: Sequence[str]) -> str:
    """The confusion matrix (PAIR_COLUMNS): a line per true and predicted class that met.

    By true class, then predicted class; every other cell is 0. Of 1,000 classes a matrix in full
    has a million cells, nearly all of them 0.
    """
    image, place = np.nonzero(outcomes.targets >= 0)
    met = np.stack([outcomes.targets[image, place], outcomes.predicted[image]])
    pairs, counts = np.unique(met, axis=1, return_counts=True)
    return _csv(PAIR_COLUMNS, ((true, class_names[true], predicted, class_names[predicted], count)
                               for true, predicted, count in zip(*pairs, counts, strict=True)))


TABLES = {"classes": classes_csv, "confusion": confusion_csv}


def _rates(errors, images):
    if not images:
        return errors, "", "", ""
    low, high = wilson_interval(errors, images)
    return errors, *(f"{share:.6f}" for share in (errors / images, low, high))


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    # A name that is no Unicode has its bytes as \xNN.
    return text.getvalue().encode(errors="backslashreplace").decode()
