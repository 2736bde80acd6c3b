"""A scoring as one page that opens anywhere, offline, and the pictures on it as files.

    FOLDER/index.html   everything, pictures embedded
    FOLDER/*.png        the same pictures

Names of classes and files are untrusted: the template escapes them, and the page's own
security policy lets no script run and nothing be fetched.
"""

import base64
import importlib.resources
import io
import json
import logging
import shlex
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import jinja2

from inception_tf.errors import DataError, UsageError
from inception_tf.evaluation.predictions_file import Predictions
from inception_tf.evaluation.report import figures
from inception_tf.evaluation.report.mistakes import read_pixels
from inception_tf.evaluation.report.outcomes import (
    Outcomes,
    by_class,
    confident_mistakes,
    worst_classes,
    worst_pairs,
)
from inception_tf.evaluation.scores import NUM_BINS, wilson_interval
from inception_tf.evaluation.tables import TEXT_COLUMNS, network_names, notes, score_cells, title
from inception_tf.labels import caption_names, short
from inception_tf.runtime.files import new_folder
from inception_tf.text import printable

log = logging.getLogger("inception_tf")

PAGE = "index.html"
TEMPLATE = "report.html"
DPI = 144
NUM_MISTAKES = 24


class Picture(NamedTuple):
    """One figure of the page; `table` says the same in text: (columns, rows), or nothing."""

    name: str
    title: str
    text: str
    png: bytes
    table: tuple[list[str], list[list[str]]] | None = None

    @property
    def uri(self) -> str:
        """The picture within the page."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


def write_report(folder: str, result: dict[str, Any], members: Sequence[Predictions],
                 outcomes: Outcomes, given: dict[str, Any]) -> None:
    """Writes the page and its pictures into `folder`, which is complete or absent.

    Args:
        folder: must not exist yet.
        result: dict of results.score_files.
        members: the Predictions that were averaged.
        outcomes: Outcomes of their mean on the images that count, or where none has a label,
            on all: then only what needs no label is drawn.
        given: config fields that say where the images are now.

    Raises:
        UsageError: no image is left.
        StorageError: it cannot be written.
    """
    if not len(outcomes):
        raise UsageError("--report: no image is left to be counted")
    names = caption_names(members[0].class_names)
    pictures = [_confidence(outcomes)]
    if outcomes.has_labels:
        pictures = [_class_errors(outcomes, names), _confusions(outcomes, names),
                    _mistakes(outcomes, names, members[0], given), _calibration(outcomes),
                    *pictures]
    page = _page(result, pictures)
    with new_folder(folder) as aside:
        for picture in (p for p in pictures if p.png):
            (aside / f"{picture.name}.png").write_bytes(picture.png)
        (aside / PAGE).write_text(page, encoding="utf-8", errors="replace")


def _class_errors(outcomes, names):
    numbers, errors = by_class(outcomes)
    rows = []
    for k in worst_classes(numbers, errors):
        low, high = wilson_interval(errors[k], numbers[k])
        rows.append([names[k], str(numbers[k]), str(errors[k]),
                     f"{100 * errors[k] / numbers[k]:.1f} %", f"{100 * low:.1f}-{100 * high:.1f}"])
    return Picture(
        "class_errors", "Error by class",
        "Share of each class's images whose most probable class is wrong; bars are 95 % Wilson "
        "intervals. An image with several right classes counts for each of them.",
        _png(figures.draw_class_errors(outcomes, names)),
        (["class", "images", "errors", "top-1 error", "95 %"], rows))


def _confusions(outcomes, names):
    pairs = worst_pairs(outcomes, figures.NUM_PAIRS)
    return Picture(
        "confusions", "Most frequent confusions",
        "Left: images of the first class that were called the second. Right: the classes of "
        f"these pairs, at most {figures.MAX_MATRIX}; images called any other class are not in "
        "the matrix.",
        _png(figures.draw_confusions(outcomes, names)),
        (["true class", "predicted", "images", "of"],
         [[names[p.true], names[p.predicted], str(p.images), str(p.total)] for p in pairs]))


def _mistakes(outcomes, names, predictions, given):
    places = confident_mistakes(outcomes, NUM_MISTAKES)
    right = [", ".join(names[k] for k in outcomes.targets[i] if k >= 0) for i in places]
    taken_for = [names[k] for k in outcomes.predicted[places]]
    percent = 100 * outcomes.confidence[places]
    png, text = b"", "No image was classified wrongly."
    if len(places):
        captions = [(short(one, 22), f"{short(other, 16)} {p:.1f} %")
                    for one, other, p in zip(right, taken_for, percent, strict=True)]
        png, text = _sheet(outcomes.rows[places], captions, predictions.header, given)
    ids = [predictions.example_ids[row] for row in outcomes.rows[places]]
    rows = [[*texts, f"{p:.2f} %"]
            for *texts, p in zip(ids, right, taken_for, percent, strict=True)]
    return Picture("mistakes", "Most confident mistakes", text, png,
                   (["image", "true class", "predicted", "probability"], rows))


def _sheet(rows, captions, header, given):
    """(PNG, explanation); without the images an empty one and the reason."""
    try:
        pixels = read_pixels(map(int, rows), header, given)
    except (UsageError, DataError) as error:
        log.warning("--report: no pictures of the mistakes: %s", error)
        return b"", f"The images could not be shown: {error}"
    seen = ("as they were scored" if header["protocol"]["crops"] == 1 else
            "whole: many views of each were scored")
    tiles = [(image, *texts) for image, texts in zip(pixels, captions, strict=True)]
    return _png(figures.draw_mistakes(tiles)), (
        f"The {len(rows)} wrong predictions of highest probability, {seen}. Above each image its "
        "class, below it what it was taken for, with the probability.")


def _calibration(outcomes):
    return Picture(
        "calibration", "Calibration",
        f"Images in {NUM_BINS} bins of equal width of confidence, the largest probability. "
        "Expected calibration error: the difference between a bin's accuracy and its mean "
        "confidence, without sign, averaged over all images (arXiv 1706.04599).",
        _png(figures.draw_calibration(outcomes)))


def _confidence(outcomes):
    return Picture("confidence", "Confidence", "How sure the predictions are; the dashed line is "
                   "the mean.", _png(figures.draw_confidence(outcomes)))


def _png(figure):
    file = io.BytesIO()
    with warnings.catch_warnings():
        # A script that the font lacks: boxes in the picture, the name itself in its table.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def _page(result, pictures):
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined,
                                     trim_blocks=True, lstrip_blocks=True, finalize=printable)
    source = importlib.resources.files(__package__).joinpath(TEMPLATE).read_text("utf-8")
    return environment.from_string(source).render(
        title=title(result), networks=network_names([m["network"] for m in result["members"]]),
        scores=score_cells(result) if result["rows"] else None, text_columns=TEXT_COLUMNS,
        rows=result["rows"], notes=notes(result), pictures=pictures, origin=_origin(result),
        members=[(m["about"].get("model_dir", m["predictions"]), _member(m))
                 for m in result["members"]])


def _origin(result):
    """What repeats the scoring: (name, value) pairs."""
    files = [(name, f"{result[name]['path']}, sha256 {result[name]['sha256']}")
             for name in ("exclude", "labels") if result[name]]
    return [
        ("command", shlex.join(["inception-tf", *result["command"]])),
        ("data", f"{result['dataset']} {result['split']}, {result['num_examples']} images, "
                 f"{result['num_classes']} classes"),
        ("data fingerprint", result["data_fingerprint"]), *files,
        ("versions", ", ".join(f"{name} {v}" for name, v in result["versions"].items())),
    ]


def _member(member):
    """What one network is, as (name, value) pairs."""
    about = member["about"]
    return [
        ("network", member["network"]),
        ("step", str(about.get("step", "-"))),
        ("weights", member["weights"]),
        ("checkpoint sha256", member["checkpoint_sha256"]),
        ("views", json.dumps(member["protocol"])),
        ("preprocessing", json.dumps(member["preprocessing"])),
        ("computed with", ", ".join(f"{k} {v}" for k, v in about.get("versions", {}).items())),
    ]
