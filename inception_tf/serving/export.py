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
import json
from pathlib import Path

from inception_tf.errors import UsageError
from inception_tf.evaluation.converted import converted_origin
from inception_tf.evaluation.provenance import versions
from inception_tf.runtime.hashes import sha256_of
from inception_tf.runtime.new_folder import new_folder
from inception_tf.serving import comparison, formats, samples
from inception_tf.serving.model_card import model_card
from inception_tf.serving.served_network import ServedNetwork
from inception_tf.serving.signatures import Signatures, save
from inception_tf.text import printable

FORMAT = 1
MANIFEST = "manifest.json"
LABELS = "labels.txt"
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
            encoded = samples.encoded_images() + [r.encoded for r in samples.examples(
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
    # A line each, whatever a name holds; the manifest has names as they are.
    (folder / LABELS).write_text("".join(f"{printable(n)}\n" for n in classifier.class_names))
    (folder / "model_card.md").write_text(model_card(manifest))
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    manifest["files"] = {str(p.relative_to(folder)): sha256_of(p) for p in files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def read_manifest(folder):
    """The manifest of an exported folder whose files are what it says.

    Raises: UsageError when it is none, or a file was altered.
    """
    folder = Path(folder)
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        files, kind = manifest["files"], manifest["kind"]
        if manifest["format"] != FORMAT or kind not in ("savedmodel", *formats.FORMATS):
            raise ValueError(f"format {manifest['format']!r:.20}, kind {kind!r:.20}")
        altered = [name for name, digest in files.items()
                   if sha256_of(_inside(folder, name)) != digest]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{folder}: no folder that `inception-tf export` wrote, or damaged: "
                         f"{error!r:.120}") from None
    if altered:
        raise UsageError(f"{folder / altered[0]} was altered: it does not have the sha256 of "
                         f"{MANIFEST}")
    return manifest


def _inside(folder, name):
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r:.80} leads out of the folder")
    return path

