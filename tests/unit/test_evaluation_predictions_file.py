"""Predictions files: kept through kills, refused when they are another run's, verified."""

import json
import os
import zlib

import numpy as np
import pytest

from inception_tf.errors import DataError, InceptionError, StorageError, UsageError
from inception_tf.evaluation import tables
from inception_tf.evaluation.predictions_file import open_predictions, predictions_writer

NUM_IMAGES, CLASSES = 11, ("a", "b", "c")
HEADER = {
    "dataset": "folder", "split": "validation", "data_fingerprint": "f00d",
    "num_examples": NUM_IMAGES, "class_names": CLASSES, "network": "inception_v4",
    "weights": "ema", "checkpoint_sha256": "cafe",
    "protocol": {"crops": 12, "scales": [86], "field": 75},
    "preprocessing": {"image_size": 75, "crop_fraction": 0.875},
    "images_per_pass": 4, "views_per_pass": 48, "about": {},
}
PROBABILITIES = np.random.default_rng(0).dirichlet(np.ones(3), NUM_IMAGES).astype(np.float32)
LABELS = np.arange(NUM_IMAGES) % 4 - 1
IDS = [f"validation/ä/{i}.jpg" for i in range(NUM_IMAGES)]


def write(path, end=NUM_IMAGES, **changes):
    """Goes on in `path` up to row `end`, in passes of four; rows that were there before."""
    with predictions_writer(path, {**HEADER, **changes}) as writer:
        start = writer.count
        for first in range(start, end, 4):
            rows = slice(first, min(first + 4, end))
            writer.append(LABELS[rows], IDS[rows], PROBABILITIES[rows])
    return start


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.predictions"


def test_predictions_come_back_with_labels_names_and_the_same_bits(path):
    write(path)
    read = open_predictions(path)
    assert len(read) == NUM_IMAGES and read.class_names == CLASSES
    np.testing.assert_array_equal(read.probabilities, PROBABILITIES)
    np.testing.assert_array_equal(read.labels, LABELS)
    assert read.example_ids == IDS
    assert read.header["protocol"] == HEADER["protocol"]


@pytest.mark.parametrize("cut", [0, 1, 3, 200])
def test_run_killed_within_a_row_goes_on_after_the_last_whole_pass(path, tmp_path, cut):
    write(path, end=8)
    with open(path, "ab") as file:
        file.truncate(path.stat().st_size - cut)
    assert write(path) == (8 if cut == 0 else 4)
    write(tmp_path / "whole")
    assert path.read_bytes() == (tmp_path / "whole").read_bytes()


def test_complete_file_is_not_computed_again(path):
    write(path)
    assert write(path) == NUM_IMAGES


def test_row_altered_in_the_middle_is_computed_again_and_refused_by_readers(path):
    write(path)
    data = bytearray(path.read_bytes())
    data[-5 * (len(data) // 12)] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="row . of 11 is damaged"):
        open_predictions(path)
    assert write(path) < NUM_IMAGES
    np.testing.assert_array_equal(open_predictions(path).probabilities, PROBABILITIES)


@pytest.mark.parametrize("changes, message", [
    ({"split": "test"}, 'split is "validation", not "test"'),
    ({"data_fingerprint": "beef"}, "data_fingerprint"),
    ({"checkpoint_sha256": "beef"}, "checkpoint_sha256"),
    ({"protocol": {"crops": 144}}, "protocol"),
    ({"class_names": ("a", "c", "b")}, "class_names"),
])
def test_file_of_another_run_is_refused_and_left_alone(path, changes, message):
    write(path, end=8)
    before = path.read_bytes()
    with pytest.raises(UsageError, match=message):
        write(path, **changes)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"holiday notes", b"{}\n", b"[]\n", b"\xff\xfe\n"])
def test_file_of_another_kind_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    for use in (write, open_predictions):
        with pytest.raises(UsageError, match="not a predictions file"):
            use(path)
    assert path.read_bytes() == content


def test_unfinished_or_missing_file_is_not_scored(path):
    with pytest.raises(UsageError, match="No such file"):
        open_predictions(path)
    write(path, end=8)
    with pytest.raises(UsageError, match="hold 8 of 11 images"):
        open_predictions(path)


def test_second_writer_is_refused_while_the_first_writes(path):
    with predictions_writer(path, HEADER), pytest.raises(UsageError, match="another process"):
        write(path)


@pytest.mark.parametrize("about, end", [({}, "ema weights"), ({"step": 7}, "ema weights, step 7")])
def test_title_of_a_score_needs_nothing_that_only_readers_want(about, end):
    result = {"dataset": "folder", "split": "test", "members": [{"weights": "ema", "about": about}]}
    assert tables.title(result) == f"folder test, {end}"


def with_header(path, line):
    """`path` as it is, under another first line."""
    _, _, rows = path.read_bytes().partition(b"\n")
    path.with_name("edited").write_bytes(line + b"\n" + rows)
    return path.with_name("edited")


def edited_headers(good):
    """(key, header) of what a text editor makes of a header."""
    for key in good:
        yield key, {k: v for k, v in good.items() if k != key}
        for value in (None, True, -1, 0, 1.5, "x", "", [], [[1]], {}, {"a": [1]}, 10**30):
            if key != "format" and type(value) is not type(good[key]):
                yield key, {**good, key: value}
    yield "num_examples", {**good, "num_examples": -3}
    yield "crops", {**good, "protocol": {**good["protocol"], "crops": 7}}
    yield "scales", {**good, "protocol": {**good["protocol"], "scales": ["a"]}}
    yield "crop_fraction", {**good, "preprocessing": {"image_size": 75}}
    yield "id_bytes", {**good, "id_bytes": 10**9}
    yield "step", {**good, "about": {"step": "seven"}}
    yield "network", {**good, "about": {"config": {"network": [1]}}}


def test_f49_edited_header_is_one_line_that_names_the_key(path):
    write(path)
    line = path.read_bytes().partition(b"\n")[0]
    for key, header in edited_headers(json.loads(line)):
        found = with_header(path, json.dumps(header).encode())
        with pytest.raises(UsageError) as caught:
            open_predictions(found)
        assert "\n" not in str(caught.value), header
        assert key in str(caught.value) or "is not a predictions file" in str(caught.value), header


@pytest.mark.parametrize("damage", [
    lambda line: line[:-9], lambda line: b"\xef\xbb\xbf" + line, lambda line: line + b"}",
    lambda line: line.replace(b'"ema"', b'"\xff"'), lambda line: line.replace(b"11", b"NaN"),
    lambda line: line[:-1] + b', "split": "test"}', lambda line: b"[" * 200_000 + line,
], ids=["cut", "byte order mark", "longer", "no UTF-8", "NaN", "a key twice", "nested"])
def test_f49_damaged_header_is_one_line_for_reader_and_writer(path, damage):
    write(path)
    found = with_header(path, damage(path.read_bytes().partition(b"\n")[0]))
    before = found.read_bytes()
    for use in (open_predictions, write):
        with pytest.raises(UsageError, match="header is damaged"):
            use(found)
    assert found.read_bytes() == before


def test_f49_header_that_names_fewer_images_or_classes_than_there_are_rows_is_refused(path):
    write(path)
    header = json.loads(path.read_bytes().partition(b"\n")[0])
    for change in ({"num_examples": 5}, {"class_names": ["a", "b"]}, {"id_bytes": 400}):
        with pytest.raises(InceptionError, match="is damaged|hold . of 11"):
            open_predictions(with_header(path, json.dumps({**header, **change}).encode()))


def test_label_beyond_the_classes_is_refused(path):
    with predictions_writer(path, HEADER) as writer:
        writer.append(np.full(NUM_IMAGES, 3), IDS, PROBABILITIES)
    with pytest.raises(DataError, match="a label is none of the 3 classes"):
        open_predictions(path)


@pytest.mark.parametrize("kind", ["folder", "fifo", "device"])
def test_f54_predictions_into_what_cannot_be_read_again_are_refused(path, kind):
    {"folder": path.mkdir, "fifo": lambda: os.mkfifo(path),
     "device": lambda: path.symlink_to("/dev/null")}[kind]()
    for use in (write, open_predictions):
        with pytest.raises(UsageError, match="is not a regular file"):
            use(path)


def test_f54_predictions_that_do_not_fit_on_the_disk_are_refused_before_the_first(
        path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: (10**6, 10**6 - 100, 100))
    with pytest.raises(StorageError, match="needs 3,828 bytes, 100 are free"):
        write(path)


def test_file_of_a_time_that_cut_ids_is_read(path):
    cut = ("ä" * 200).encode()[:319]
    with predictions_writer(path, {**HEADER, "num_examples": 1}) as writer:
        rows = np.zeros(1, writer._type)
        rows["example_id"], rows["crc"] = cut, 0
        rows["crc"] = zlib.crc32(rows.tobytes()[:-4])
        writer._file.write(rows.tobytes())
    assert open_predictions(path).example_ids == ["ä" * 159 + "\\xc3"]
