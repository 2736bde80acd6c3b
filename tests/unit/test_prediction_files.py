"""Predictions files: kept through kills, refused when they are another run's, verified."""

import numpy as np
import pytest

from inception_tf.errors import DataError, UsageError
from inception_tf.evaluation import tables
from inception_tf.evaluation.predictions import open_predictions, predictions_writer

NUM_IMAGES, CLASSES = 11, ("a", "b", "c")
HEADER = {
    "dataset": "folder", "split": "validation", "data_fingerprint": "f00d",
    "num_examples": NUM_IMAGES, "class_names": CLASSES, "network": "inception_v4",
    "weights": "ema", "checkpoint_sha256": "cafe",
    "protocol": {"crops": 12, "scales": [86], "field": 75},
    "preprocessing": {"image_size": 75, "crop_fraction": 0.875}, "images_per_pass": 4, "views_per_pass": 48, "about": {},
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
