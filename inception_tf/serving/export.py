"""A trained network -> a version folder that servers and runtimes take.

    E/1/
        saved_model.pb, variables/   or model.keras, model.onnx, model.tflite, model.xml + .bin
        labels.txt                   class names, in the order of the outputs
        manifest.json                all of what it is, and sha256 of each file
        model_card.md                the same for people

The folder is complete or absent, and no file in it names a machine, a user or a path.
"""

import dataclasses
import datetime
import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta

from inception_tf import strict_json
from inception_tf.config import Config
from inception_tf.data.views import Preprocessing
from inception_tf.errors import UsageError
from inception_tf.runs.network import MAX_CLASSES
from inception_tf.runs.new_run import converted_origin
from inception_tf.runtime.files import new_folder, sha256_of
from inception_tf.runtime.provenance import versions
from inception_tf.serving import comparison, formats
from inception_tf.serving.model_card import model_card
from inception_tf.serving.saved_model.network import ServedNetwork
from inception_tf.serving.saved_model.signatures import Signatures, save
from inception_tf.text import printable

FORMAT = 1
MANIFEST = "manifest.json"
LABELS = "labels.txt"
# Of a manifest: ImageNet's 21,841 classes with names of 300 bytes fit.
_MAX_BYTES = 8 * 2**20
# Settings of a network that say how it was trained (from which file), not what it is.
_OF_TRAINING = ("init_from", "freeze")


@dataclasses.dataclass(frozen=True)
class Request:
    """What to write.

    format: "savedmodel", or a name in formats.FORMATS.
    quantize: "none", "dynamic" or "int8"; the last two for LiteRT.
    calibration_images: training images that give int8 its ranges.
    check_images: images of the validation split on which both networks are scored.
    """

    format: str = "savedmodel"
    quantize: str = "none"
    calibration_images: int = 100
    check_images: int = 500

    def __post_init__(self):
        if self.quantize != "none" and self.format != "litert":
            raise UsageError(f"--quantize={self.quantize} is for --format=litert, not "
                             f"{self.format}")


def export(classifier, export_dir, request):
    """Writes `export_dir` and returns its manifest, which holds how the copy compares.

    Args:
        classifier: a classifier.Classifier.
        export_dir: the version folder; must not exist.

    Raises:
        UsageError: it exists, or the format's package is missing.
        StorageError: it cannot be written, or its answers are not those of the network.
    """
    export_dir = Path(export_dir)
    formats.require(request.format)
    with new_folder(export_dir) as folder:
        if request.format == "savedmodel":
            save(folder, Signatures(classifier, ServedNetwork(classifier.model)))
            encoded = comparison.encoded_images() + [r.encoded for r in comparison.examples(
                classifier.data, classifier.data.eval_split, classifier.class_names, 8)[0]]
            compared = {"images": len(encoded), "largest_difference":
                        comparison.saved_model_difference(classifier, folder, encoded)}
        else:
            compared = formats.write_and_compare(classifier, folder, request)
        manifest = _manifest(classifier, request, compared)
        _write_beside(folder, classifier, manifest)
    return manifest


def _manifest(classifier, request, compared):
    network = dataclasses.asdict(classifier.network)
    return {
        "format": FORMAT,
        "kind": request.format,
        "quantize": request.quantize,
        "network": {k: v for k, v in network.items() if k not in _OF_TRAINING},
        "parameters": classifier.model.count_params(),
        "weights": classifier.weights,
        "origin": classifier.origin,
        "data": _trained_on(classifier),
        "score": classifier.score,
        "preprocessing": dataclasses.asdict(classifier.preprocessing),
        "max_image_pixels": classifier.data.max_image_pixels,
        "first_class": classifier.first_class,
        "class_names": list(classifier.class_names),
        "comparison": compared,
        "versions": {**versions(), **formats.versions(request.format)},
        "exported": datetime.date.today().isoformat(),
    }


def _trained_on(classifier):
    """None of converted weights: their file does not say."""
    if converted_origin(classifier.origin):
        return None
    return {"dataset": classifier.data.dataset, "train_split": classifier.data.train_split}


def _write_beside(folder, classifier, manifest):
    (folder / LABELS).write_bytes(_labels(classifier.class_names))
    (folder / "model_card.md").write_text(model_card(manifest))
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    manifest["files"] = {str(p.relative_to(folder)): sha256_of(p) for p in files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def _labels(class_names, shown=printable):
    """A line each, whatever a name holds; the manifest has names as they are."""
    return "".join(f"{shown(n)}\n" for n in class_names).encode(errors="backslashreplace")


class _Cut(TypedDict):
    """Of Preprocessing, whose bounds the settings of the same names have."""

    image_size: int
    crop_fraction: float
    interpolation: str
    pixel_centers: str
    antialias: bool


class Manifest(TypedDict):
    """What every version of this format has written."""

    format: Literal[1]
    kind: Literal["savedmodel", "keras", "onnx", "litert", "openvino"]
    quantize: Literal["none", "dynamic", "int8"]
    network: dict[str, Any]
    parameters: int
    weights: str
    origin: dict[str, Any]
    data: dict[str, str] | None
    score: dict[str, Any] | None
    preprocessing: _Cut
    max_image_pixels: int
    first_class: Literal[0, 1]
    class_names: Annotated[list[str], Meta(min_length=1, max_length=MAX_CLASSES)]
    comparison: dict[str, Any]
    versions: dict[str, str]
    exported: str
    files: dict[str, Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]]


def read_manifest(folder: str | os.PathLike) -> Manifest:
    """The manifest of an exported folder, in which lies what it lists and nothing else.

    Raises: UsageError when it is none or damaged, or a file is missing, altered or not of it.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    manifest = strict_json.read(path, Manifest, max_bytes=_MAX_BYTES)
    try:
        Config().replace(**manifest["preprocessing"],
                         max_image_pixels=manifest["max_image_pixels"])
        Preprocessing(**manifest["preprocessing"])
    except UsageError as error:
        raise UsageError(f"{path} is damaged: {error}") from None
    _check_files(folder, manifest["files"])
    # No hash covers the manifest itself. Earlier exports have names as they are in labels.txt.
    labels = [_labels(manifest["class_names"], shown) for shown in (printable, str)]
    if manifest["files"].get(LABELS) not in [hashlib.sha256(text).hexdigest() for text in labels]:
        raise UsageError(f"{path} is damaged: its class_names are not those of {LABELS}")
    return manifest


def _check_files(folder, listed):
    """A runtime may open any file that lies there, under a name it prefers or one that another
    file gives: all must be listed. Names in the list are only compared, never opened."""
    found = {str(p.relative_to(folder)): p for p in folder.rglob("*") if not p.is_dir()}
    found.pop(MANIFEST)
    for name in sorted(found.keys() ^ listed.keys()):
        what = "is not a file that" if name in found else "is missing, which"
        raise UsageError(f"{folder}: {name!r:.200} {what} {MANIFEST} lists")
    for name, path in found.items():
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{path} is no file, or leads out of the folder")
        if _sha256_of(path) != listed[name]:
            raise UsageError(f"{path} was altered: it does not have the sha256 of {MANIFEST}")


def _sha256_of(path):
    try:
        return sha256_of(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
