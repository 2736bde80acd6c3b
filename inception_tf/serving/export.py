"""A trained network -> a version folder that servers and runtimes take.

    E/1/
        saved_model.pb, variables/   or model.keras, model.onnx, model.tflite, model.xml + .bin
        labels.txt                   class names, in the order of the outputs
        manifest.json                what it is (manifest.py), and sha256 of each file
        model_card.md                the same for people

The folder is complete or absent, and no file in it names a machine, a user or a path.
"""

import dataclasses
import datetime
import json
import os
from pathlib import Path

from inception_tf.runs.new_run import converted_origin
from inception_tf.runtime.files import new_folder, sha256_of
from inception_tf.runtime.provenance import versions
from inception_tf.serving import formats
from inception_tf.serving.classifier import Classifier
from inception_tf.serving.formats import ExportRequest
from inception_tf.serving.manifest import FORMAT, LABELS, MANIFEST, ExportManifest, labels_of
from inception_tf.serving.measurement import compare
from inception_tf.serving.model_card import model_card

# Settings of a network that say how it was trained, not what it is.
_OF_TRAINING = ("init_from", "freeze")


def export(classifier: Classifier, export_dir: str | os.PathLike,
           request: ExportRequest) -> ExportManifest:
    """Writes the version folder `export_dir` and returns its manifest.

    Raises:
        UsageError: `export_dir` exists, a package is missing, or int8 has no training images.
        StorageError: it cannot be written, or its answers are not those of the network.
    """
    export_dir = Path(export_dir)
    formats.require(request)
    with new_folder(export_dir) as folder:
        formats.write(classifier, folder, request)
        manifest = _manifest(classifier, request, compare(classifier, folder, request))
        _write_beside(folder, classifier, manifest)
    return manifest


def _manifest(classifier, request, compared):
    network = dataclasses.asdict(classifier.network)
    return {
        "format": FORMAT,
        "kind": request.format,
        "precision": request.precision,
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
        "versions": {**versions(), **formats.package_versions(request)},
        "exported": datetime.date.today().isoformat(),
    }


def _trained_on(classifier):
    """None for converted weights: their file does not say."""
    if converted_origin(classifier.origin):
        return None
    return {"dataset": classifier.data.dataset, "train_split": classifier.data.train_split}


def _write_beside(folder, classifier, manifest):
    (folder / LABELS).write_bytes(labels_of(classifier.class_names))
    (folder / "model_card.md").write_text(model_card(manifest))
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    manifest["files"] = {str(p.relative_to(folder)): sha256_of(p) for p in files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
