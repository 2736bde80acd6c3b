"""The tables of errors by class and of confusions: by hand, and as other programs read them."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

from inception_tf.evaluation.class_tables import (
    CLASS_COLUMNS,
    PAIR_COLUMNS,
    classes_csv,
    confusion_csv,
    table_paths,
)
from inception_tf.evaluation.report.outcomes import confusion, outcomes_of
from inception_tf.evaluation.scores import wilson_interval

PAGE = Path(__file__).parents[2] / "docs" / "evaluation.md"
NAMES = ['with, comma and "quotes"', "b", "c", "d", "e", "f", "never\nseen"]


def outcomes(labels, seed=0):
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(len(NAMES)), len(labels))
    labels = np.asarray(labels).reshape(len(labels), -1)
    return outcomes_of([probabilities.astype(np.float32)], labels, np.ones(len(labels), bool))


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_classes_by_hand():
    probabilities = np.float32([[.1, .9, 0, 0, 0, 0, 0], [.9, .1, 0, 0, 0, 0, 0],
                                [.3, .2, .15, .12, .11, .1, .02]])
    found = outcomes_of([probabilities], np.array([[0], [0], [5]]), np.ones(3, bool))
    first, *_, sixth, last = rows_of(classes_csv(found, NAMES))
    assert tuple(first) == CLASS_COLUMNS
    low, high = wilson_interval(1, 2)
    assert first == {
        "class": "0", "name": NAMES[0], "images": "2", "top1_errors": "1", "top1_error": "0.500000",
        "top1_low": f"{low:.6f}", "top1_high": f"{high:.6f}", "top5_errors": "0",
        "top5_error": "0.000000", "top5_low": f"{wilson_interval(0, 2)[0]:.6f}",
        "top5_high": f"{wilson_interval(0, 2)[1]:.6f}"}
    assert (sixth["top1_errors"], sixth["top5_errors"]) == ("1", "1")
    assert (last["name"], last["images"], last["top1_error"]) == (NAMES[-1], "0", "")


def test_confusions_are_the_whole_matrix():
    labels = np.random.default_rng(1).integers(0, 6, 400)
    found = outcomes(labels)
    rows = rows_of(confusion_csv(found, NAMES))
    assert tuple(rows[0]) == PAIR_COLUMNS
    matrix = np.zeros((7, 7), int)
    for row in rows:
        matrix[int(row["true"]), int(row["predicted"])] = int(row["images"])
        assert row["true_name"] == NAMES[int(row["true"])]
        assert row["predicted_name"] == NAMES[int(row["predicted"])]
    np.testing.assert_array_equal(matrix, confusion(found, range(7)))
    assert matrix.sum() == 400
    order = [(int(row["true"]), int(row["predicted"])) for row in rows]
    assert order == sorted(order)


def test_lines_of_the_docs_lay_the_matrix_out(tmp_path, monkeypatch):
    found = outcomes(np.random.default_rng(3).integers(0, 7, 400))
    (tmp_path / "r.confusion.csv").write_text(confusion_csv(found, NAMES))
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict = {}
    exec(code, names)
    np.testing.assert_array_equal(names["matrix"], confusion(found, range(7)))


def test_both_tables_agree_image_by_image_and_with_several_right_classes():
    labels = np.random.default_rng(2).integers(-1, 6, (200, 2))
    labels[:, 1] = np.where(labels[:, 1] == labels[:, 0], -1, labels[:, 1])
    found = outcomes(labels)
    images = {row["class"]: int(row["images"]) for row in rows_of(classes_csv(found, NAMES))}
    for number in images:
        assert images[number] == sum(int(row["images"]) for row in rows_of(
            confusion_csv(found, NAMES)) if row["true"] == number)
    assert sum(images.values()) == (labels >= 0).sum()


def test_name_that_is_no_unicode_is_written_escaped():
    text = classes_csv(outcomes([0]), ["caf\udce9", *NAMES[1:]])
    assert rows_of(text)[0]["name"] == "caf\\udce9"


@pytest.mark.parametrize("output, stem", [("r.json", "r"), ("a/b.c", "a/b.c"), (".json", "")])
def test_tables_lie_beside_the_json(tmp_path, monkeypatch, output, stem):
    monkeypatch.chdir(tmp_path)
    assert table_paths(output) == {"classes": f"{stem}.classes.csv",
                                   "confusion": f"{stem}.confusion.csv"}


@pytest.mark.parametrize("output", ["-", "/dev/stdout", "/dev/null"])
def test_nothing_lies_beside_what_is_no_file(output):
    assert table_paths(output) == {}
