"""`inception-tf export`: a run's network as a SavedModel, or for another runtime."""

import dataclasses
import logging
import sys
from collections.abc import Sequence

from inception_tf import flags
from inception_tf.commands.shell import import_tensorflow
from inception_tf.config import Runtime
from inception_tf.errors import UsageError
from inception_tf.flags import Flag
from inception_tf.runtime import outputs
from inception_tf.runtime.progress import working
from inception_tf.text import printable

log = logging.getLogger("inception_tf")

OWN = (
    Flag("export_dir", "", "version folder to write, such as exports/cats/1; must not exist",
         path=True),
    flags.CHECKPOINT,
    Flag("weights", "ema", "averaged or raw weights", ("ema", "raw")),
    Flag("format", "savedmodel", "what to write", ("savedmodel", "keras", "onnx", "litert",
                                                   "openvino")),
    Flag("precision", "float32", "SavedModel: kernels and convolutions in 16 bits (bfloat16, "
                                 "float16)", ("float32", "bfloat16", "float16")),
    Flag("quantize", "none", "8-bit integers: ONNX, OpenVINO and LiteRT (int8), LiteRT's weights "
                             "alone (dynamic)", ("none", "dynamic", "int8")),
    Flag("calibration_images", 300, "training images that give int8 its ranges", low=1),
    Flag("check_images", 500, "validation images scored before and after (not for the float32 "
                              "SavedModel); 0: none", low=0),
)
FIELDS = ("model_dir", "data_dir")


def main(argv: Sequence[str]) -> None:
    """Writes a checkpoint of --model_dir to --export_dir and compares both."""
    arguments = flags.parse("export", "A run's network as a SavedModel, or for another runtime.",
                            argv, OWN, fields=FIELDS, defaults=None)
    own = arguments.own
    if not own["export_dir"]:
        raise UsageError("--export_dir: name the folder to write, such as exports/cats/1")
    outputs.check_new_folder("export_dir", own["export_dir"])
    import_tensorflow()
    with working(f"exporting to {own['export_dir']}"):
        manifest = _export(arguments)
    _show(manifest, own["export_dir"])


def _export(arguments):
    from inception_tf.runtime.hardware import slow_on_processor
    from inception_tf.serving.classifier import open_run
    from inception_tf.serving.export import ExportRequest, export

    own, given = arguments.own, dict(arguments.given)
    request = ExportRequest(own["format"], own["precision"], own["quantize"],
                            own["calibration_images"], own["check_images"])
    if slow := slow_on_processor(request.precision):
        log.warning("%s", slow)
    classifier = open_run(given.pop("model_dir", Runtime.model_dir), own["weights"],
                          own["checkpoint"])
    data = dataclasses.replace(classifier.data, **given)
    return export(dataclasses.replace(classifier, data=data), own["export_dir"], request)


def _show(manifest, export_dir):
    from inception_tf.serving.manifest import form_of

    compared = manifest["comparison"]
    print(f"{printable(export_dir)}: {manifest['network']['net']} with "
          f"{len(manifest['class_names'])} classes, {manifest['weights']} weights, as "
          f"{form_of(manifest)}")
    differences = ", ".join(f"{name} {value:.1e}"
                            for name, value in compared["largest_difference"].items())
    print(f"largest difference from the network on {compared['images']} images, noise and "
          f"pictures: {differences}")
    if "bytes" in compared:
        from rich.console import Console

        console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120)
        console.print(_table(manifest))
    if "accuracy_not_measured" in compared:
        print(f"error not measured: {printable(compared['accuracy_not_measured'])}")


def _table(manifest):
    """Size, speed and error of the network and of what was written."""
    from rich.table import Table

    from inception_tf.serving.manifest import form_of

    compared = manifest["comparison"]
    batches = list(compared["images_per_second"]["original"])
    table = Table("", "MB", *(f"images/s, batch {n}" for n in batches), "top-1 error",
                  "classes changed")
    for key, name in {"original": "network in TensorFlow", "exported": form_of(manifest)}.items():
        table.add_row(name, f"{compared['bytes'][key] / 1e6:.1f}",
                      *(f"{compared['images_per_second'][key][n]:.1f}" for n in batches),
                      *_errors(compared, key))
    return table


def _errors(compared, key):
    """Cells: top-1 error, and of what was written the share of classes that changed."""
    if "accuracy" not in compared:
        return "-", ""
    changed = f"{100 * compared['answers_changed']:.2f} %" if key == "exported" else ""
    error = 100 * compared["accuracy"][key]
    return f"{error:.2f} % of {compared['accuracy_images']}", changed
