"""The manifest of an exported folder, edited or damaged, and what lies beside it."""

import hashlib
import json
import os

import pytest

from inception_tf.errors import UsageError
from inception_tf.serving.manifest import form_of, read_export_manifest


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def manifest_of(**values):
    """A whole manifest of the folder that `write_export` writes."""
    return {
        "format": 1, "kind": "onnx", "quantize": "none", "network": {"net": "inception_v4"},
        "parameters": 7, "weights": "ema", "origin": {"step": 3}, "data": None, "score": None,
        "preprocessing": {"image_size": 299, "crop_fraction": 0.875, "interpolation": "bilinear",
                          "pixel_centers": "half", "antialias": False},
        "max_image_pixels": 50_000_000, "first_class": 1, "class_names": ["cat", "dog"],
        "comparison": {}, "versions": {"python": "3.11"}, "exported": "2026-01-01",
        "files": {"labels.txt": sha256(b"cat\ndog\n"), "model.onnx": sha256(b"model")}, **values}


def write_export(folder, manifest):
    """Its files, and `manifest`: a dict, or the text of the file."""
    (folder / "labels.txt").write_bytes(b"cat\ndog\n")
    (folder / "model.onnx").write_bytes(b"model")
    text = json.dumps(manifest) if isinstance(manifest, dict) else manifest
    (folder / "manifest.json").write_bytes(text if isinstance(text, bytes) else text.encode())


def cut(**values):
    return manifest_of(preprocessing={**manifest_of()["preprocessing"], **values})


def files(**values):
    return manifest_of(files={**manifest_of()["files"], **values})


WHOLE = json.dumps(manifest_of())
# (manifest, words of the message)
DAMAGED = [
    ("", "damaged"), ("{}", "damaged"), ("[]", "damaged"), ("null", "damaged"), ("7", "damaged"),
    (WHOLE[:-1], "damaged"), (WHOLE[:200], "damaged"), (WHOLE + "}", "damaged"),
    (b"\xef\xbb\xbf" + WHOLE.encode(), "damaged"), (WHOLE.encode() + b"\xff", "damaged"),
    (WHOLE.encode("utf-16"), "damaged"), (b"\0" * 999, "damaged"),
    ("[" * 200_000, "nested too deeply"), ('{"format":' * 200_000, "nested too deeply"),
    (WHOLE.replace("299", "1e999"), "damaged"), (WHOLE.replace("299", "NaN"), "damaged"),
    (WHOLE.replace("299", "9" * 5000), "damaged"),
    (WHOLE.replace('"format": 1', '"format": 1, "format": 1'), "twice"),
    *((manifest_of(**{key: value}), key) for key, value in [
        ("format", 2), ("format", "1"), ("format", True), ("kind", "tar"), ("kind", None),
        ("precision", "float8"),
        ("kind", "../onnx"), ("quantize", "int4"), ("network", []), ("parameters", "7"),
        ("weights", None), ("origin", "x"), ("data", 3), ("score", []), ("preprocessing", None),
        ("preprocessing", []), ("max_image_pixels", 0), ("max_image_pixels", 1e99),
        ("max_image_pixels", "9"), ("first_class", 2), ("first_class", -1), ("class_names", []),
        ("class_names", "cat"), ("class_names", [1, 2]), ("class_names", ["cat"]),
        ("class_names", ["dog", "cat"]), ("class_names", ["cat", "\ud800"]),
        ("class_names", [""] * 100_001), ("comparison", None), ("versions", {"python": 3}),
        ("exported", 2026), ("files", None), ("files", []), ("files", {"model.onnx": 3}),
        ("files", {"model.onnx": "0"}), ("files", {"model.onnx": "G" * 64})]),
    *(({k: v for k, v in manifest_of().items() if k != key}, key) for key in manifest_of()),
    (manifest_of(preprocessing={}), "image_size"),
    *((cut(**{key: value}), key) for key, value in [
        ("image_size", 0), ("image_size", -299), ("image_size", 20_000), ("image_size", 299.5),
        ("image_size", True), ("crop_fraction", 0), ("crop_fraction", 1.5),
        ("crop_fraction", None), ("interpolation", "nearest"), ("pixel_centers", "middle"),
        ("antialias", 1)]),
    (cut(antialias=True, pixel_centers="corner"), "antialias"),
    (manifest_of(files={}), "labels.txt"),
    *((files(**{name: sha256(b"")}), "is missing") for name in (
        "absent", "../x", "/etc/passwd", "", ".", "..", "labels.txt/", "./labels.txt", "a\0b",
        "\ud800", "x" * 999)),
    (files(**{"model.onnx": sha256(b"other")}), "model.onnx was altered"),
    (files(**{"labels.txt": sha256(b"other")}), "labels.txt was altered"),
]


@pytest.mark.parametrize(("manifest", "words"), DAMAGED)
def test_f49_damaged_manifest_is_refused_in_one_line(tmp_path, manifest, words):
    write_export(tmp_path, manifest)
    with pytest.raises(UsageError) as caught:
        read_export_manifest(tmp_path)
    message = str(caught.value)
    assert words in message and str(tmp_path) in message
    assert "\n" not in message and len(message) < 500 + len(str(tmp_path))


def test_whole_manifest_is_read(tmp_path):
    write_export(tmp_path, manifest_of(of_later_versions=1))
    assert read_export_manifest(tmp_path) == manifest_of()


def test_f57_manifest_of_ten_million_classes_is_refused_unread(tmp_path):
    write_export(tmp_path, f'{{"class_names": [{"7," * 10_000_000}7]}}')
    with pytest.raises(UsageError, match=r"bytes; at most 8,388,608 are read"):
        read_export_manifest(tmp_path)


def test_a_folder_in_the_place_of_the_manifest_is_refused(tmp_path):
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(UsageError, match="is not a file"):
        read_export_manifest(tmp_path)


@pytest.mark.parametrize(("make", "words"), [
    (lambda path: path.write_text("x"), "is not a file that"),
    (lambda path: os.mkfifo(path), "is not a file that"),
    (lambda path: path.symlink_to("/dev/zero"), "is not a file that"),
], ids=["file", "fifo", "link"])
def test_file_that_the_manifest_does_not_list_is_refused(tmp_path, make, words):
    """TensorFlow takes a saved_model.cpb before saved_model.pb; ONNX a file that another names."""
    write_export(tmp_path, manifest_of())
    make(tmp_path / "saved_model.cpb")
    with pytest.raises(UsageError, match=words):
        read_export_manifest(tmp_path)


@pytest.mark.parametrize("make", [
    os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to("nowhere"),
    lambda path: path.symlink_to(__file__)], ids=["fifo", "device", "nowhere", "outside"])
def test_listed_name_that_is_no_file_of_the_folder_is_refused(tmp_path, make):
    write_export(tmp_path, files(odd=sha256(b"")))
    make(tmp_path / "odd")
    with pytest.raises(UsageError, match="is no file, or leads out of the folder"):
        read_export_manifest(tmp_path)


@pytest.mark.parametrize(("values", "form"), [
    ({}, "onnx"), ({"precision": "float32"}, "onnx"), ({"quantize": "int8"}, "onnx, int8"),
    ({"kind": "savedmodel", "precision": "bfloat16"}, "savedmodel, bfloat16")])
def test_form_is_format_and_what_was_reduced(tmp_path, values, form):
    """Exports of earlier versions have no precision."""
    write_export(tmp_path, manifest_of(**values))
    assert form_of(read_export_manifest(tmp_path)) == form
