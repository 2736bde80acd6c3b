"""The manifest of an exported folder: what it holds, and how its files are checked."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from inception_tf import strict_json
from inception_tf.config import Config
from inception_tf.data.views import Preprocessing
from inception_tf.errors import UsageError
from inception_tf.runs.network import MAX_CLASSES
from inception_tf.runtime.files import sha256_of
from inception_tf.text import printable

FORMAT = 1
MANIFEST = "manifest.json"
LABELS = "labels.txt"


class _Cut(TypedDict):
    """The fields of Preprocessing; their bounds are those of the settings of the same names."""

    image_size: int
    crop_fraction: float
    interpolation: str
    pixel_centers: str
    antialias: bool


class ExportManifest(TypedDict):
    """What format 1 holds. Every version of this package has written all of it but `precision`,
    where its absence means float32."""

    format: Literal[1]
    kind: Literal["savedmodel", "keras", "onnx", "litert", "openvino"]
    precision: NotRequired[Literal["float32", "bfloat16", "float16"]]
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


def form_of(manifest: ExportManifest) -> str:
    """Format and, where it is not float32, precision or quantization: "onnx, int8"."""
    reduced = [manifest.get("precision", "float32"), manifest["quantize"]]
    return ", ".join([manifest["kind"], *(x for x in reduced if x not in ("float32", "none"))])


def labels_of(class_names: list[str] | tuple[str, ...],
              shown: Callable[[str], str] = printable) -> bytes:
    """Contents of labels.txt: a line a class, whatever a name holds."""
    return "".join(f"{shown(n)}\n" for n in class_names).encode(errors="backslashreplace")


def read_export_manifest(folder: str | os.PathLike) -> ExportManifest:
    """The manifest of an exported folder, all files verified.

    Raises: UsageError when it is missing or damaged, or a file is missing, altered or not listed.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    manifest = strict_json.read(path, ExportManifest)
    try:
        Config().replace(**manifest["preprocessing"],
                         max_image_pixels=manifest["max_image_pixels"])
        Preprocessing(**manifest["preprocessing"])
    except UsageError as error:
        raise UsageError(f"{path} is damaged: {error}") from None
    _check_files(folder, manifest["files"])
    # No hash covers the manifest itself. labels.txt of earlier exports has the names unescaped.
    labels = [labels_of(manifest["class_names"], shown) for shown in (printable, str)]
    if manifest["files"].get(LABELS) not in [hashlib.sha256(text).hexdigest() for text in labels]:
        raise UsageError(f"{path} is damaged: its class_names are not those of {LABELS}")
    return manifest


def _check_files(folder, listed):
    """Every file must be listed: a runtime may prefer one name to another (saved_model.cpb), and
    one file may name another. Names in the list are only compared, never opened."""
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
