"""Which checkpoint `newest`, `best` and a step mean."""

import shutil

import numpy as np
import pytest

from inception_tf.errors import CheckpointError, UsageError
from inception_tf.runs import checkpoint
from inception_tf.runs.choice import load_chosen, steps_to_try

FACTS = {"config": "{}", "class_names": ["a"], "data": {"name": "d", "fingerprint": ""}}
SCORES = {3: 0.4, 6: 0.1, 9: 0.1, 12: 0.3}


@pytest.fixture
def root(tmp_path):
    """Steps 3 to 15; all but the last were scored, 6 and 9 equally well."""
    root = tmp_path / "run" / "checkpoints"
    for step in (*SCORES, 15):
        checkpoint.save(root, step, {"a": np.full(1, step, np.float32)}, FACTS)
    for step, error in SCORES.items():
        checkpoint.add_entries(root, step, {"scores": {"ema_top1_error": error}})
    return root


def _damage(root, step):
    (checkpoint.folder_of(root, step) / checkpoint.ARRAYS).write_bytes(b"")


@pytest.mark.parametrize("which, damaged, step", [
    ("newest", [], 15), ("newest", [15, 12], 9), ("best", [], 9), ("best", [9], 6),
    ("best", [6, 9], 12), ("6", [], 6), ("006", [15], 6),
])
def test_choice_of_a_checkpoint_is_the_first_valid_one_that_is_meant(root, caplog, which, damaged,
                                                                     step):
    for number in damaged:
        _damage(root, number)
    arrays, manifest = load_chosen(root, which)
    assert manifest["step"] == step == arrays["a"]
    assert len(caplog.records) == (len(damaged) if which in ("newest", "best") else 0)


@pytest.mark.parametrize("which, message", [
    ("7", r"--checkpoint=7: .*run has no checkpoint of that step; there: 3, 6, 9, 12, 15"),
    ("last", "--checkpoint='last' is neither newest, best nor a step"),
    ("-3", "neither newest"), ("", "neither newest"), ("\u00b2", "neither newest"),
    ("3\x1b[2J\n", r"--checkpoint='3\\x1b\[2J\\n' is neither"), ("9" * 5000, "neither newest"),
])
def test_choice_of_what_is_not_there_is_one_line(root, which, message):
    with pytest.raises(UsageError, match=message):
        load_chosen(root, which)


def test_choice_of_a_damaged_step_is_never_replaced(root):
    _damage(root, 6)
    with pytest.raises(CheckpointError, match="step_000000006.*0 bytes"):
        load_chosen(root, "6")


def test_choice_of_the_best_without_a_scored_one_names_what_is_there(root):
    for step in SCORES:
        shutil.rmtree(checkpoint.folder_of(root, step))
    with pytest.raises(UsageError, match="best: no checkpoint of .* was scored; there: 15"):
        steps_to_try(root, "best", "--init_checkpoint")


def test_choice_in_a_run_without_checkpoints_says_so(tmp_path):
    with pytest.raises(UsageError, match="run has no checkpoint yet"):
        steps_to_try(tmp_path / "run" / "checkpoints", "newest")


@pytest.mark.parametrize("facts", [
    {}, {"config": 3}, {"class_names": "ab"}, {"class_names": [1]}, {"data": {}}, {"data": None},
    {"last_step": "9"}, {"scores": {"ema_top1_error": "low"}}, {"bad_examples": []}])
def test_f49_manifest_with_a_matching_hash_and_wrong_types_is_one_line(tmp_path, facts):
    checkpoint.save(tmp_path / "c", 1, {"a": np.zeros(1, np.float32)},
                    {**FACTS, **facts} if facts else {})
    with pytest.raises(CheckpointError, match="manifest.* is damaged: "):
        load_chosen(tmp_path / "c", "1")


@pytest.mark.parametrize("content", [
    b"", b"[]", b"{", b"\xff", b"\xef\xbb\xbf{}", b'{"format": 1, "format": 1}',
    b'{"format": NaN}', b"[" * 200_000])
def test_f49_damaged_manifest_is_one_line(root, content):
    (checkpoint.folder_of(root, 15) / checkpoint.MANIFEST).write_bytes(content)
    with pytest.raises(CheckpointError, match="manifest.json is damaged: ") as caught:
        load_chosen(root, "15")
    assert "\n" not in str(caught.value)
