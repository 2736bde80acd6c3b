"""Checkpoints: complete or absent, verified, with a ladder down to the newest valid one."""

import contextlib
import json
import os
import sys

import numpy as np
import pytest

from inception_tf.errors import CheckpointError, NonFiniteError, StorageError
from inception_tf.runs import checkpoint
from inception_tf.runs.saver import retain

ARRAYS = {"a/kernel": np.arange(12, dtype=np.float32).reshape(3, 4), "step": np.int64(7)}


def _save(root, step, value=0.0):
    arrays = {**ARRAYS, "b": np.full(3, value, np.float32)}
    return checkpoint.save(root, step, arrays, {"note": "x"})


def _damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(data[:len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        data[data.find(b"kernel") if b"kernel" in data else data.find(b'"x"') + 1] ^= 1
        path.write_bytes(data)
    else:
        path.unlink()


def test_round_trip_keeps_names_values_shapes_and_dtypes(tmp_path):
    _save(tmp_path, 7, 1.5)
    arrays, manifest = checkpoint.load(tmp_path, 7)
    assert manifest["step"] == 7 and manifest["note"] == "x"
    assert arrays.keys() == {"a/kernel", "b", "step"}
    np.testing.assert_array_equal(arrays["a/kernel"], ARRAYS["a/kernel"])
    assert arrays["step"].shape == () and arrays["step"].dtype == np.int64


def test_load_newest_of_nothing_is_none(tmp_path):
    assert checkpoint.load_newest(tmp_path / "absent", print) is None
    (tmp_path / "step_x").mkdir()
    assert checkpoint.load_newest(tmp_path, print) is None


@pytest.mark.parametrize("file", [checkpoint.ARRAYS, checkpoint.MANIFEST])
@pytest.mark.parametrize("how", ["truncated", "empty", "flipped", "deleted"])
def test_f09_damaged_newest_falls_back_and_says_why(tmp_path, file, how):
    _save(tmp_path, 1, 1.0)
    _damage(_save(tmp_path, 2, 2.0) / file, how)
    warnings = []
    arrays, manifest = checkpoint.load_newest(tmp_path, warnings.append)
    assert manifest["step"] == 1 and arrays["b"][0] == 1.0
    assert len(warnings) == 1 and file in warnings[0]


def test_f10_all_damaged_raises_and_deletes_nothing(tmp_path):
    for step in (1, 2):
        _damage(_save(tmp_path, step) / checkpoint.ARRAYS, "flipped")
    with pytest.raises(CheckpointError, match="none of the 2 checkpoints"):
        checkpoint.load_newest(tmp_path, lambda message: None)
    assert checkpoint.steps(tmp_path) == [1, 2]


def test_f33_non_finite_arrays_with_valid_hashes_are_skipped(tmp_path, monkeypatch):
    _save(tmp_path, 1)
    with monkeypatch.context() as careless:
        careless.setattr(checkpoint, "not_finite", lambda arrays: [])
        _save(tmp_path, 2, np.nan)
    warnings = []
    assert checkpoint.load_newest(tmp_path, warnings.append)[1]["step"] == 1
    assert "step_000000002: b holds values that are not finite" in warnings[0]


def test_f31_save_of_a_non_finite_array_is_refused_and_touches_nothing(tmp_path):
    _save(tmp_path, 1)
    with pytest.raises(NonFiniteError, match="step 2 refused.* b is the first"):
        _save(tmp_path, 2, np.inf)
    assert os.listdir(tmp_path) == ["step_000000001"]


def test_checkpoint_the_caller_refuses_is_skipped_with_its_reason(tmp_path):
    _save(tmp_path, 1), _save(tmp_path, 2)

    def check(arrays, manifest):
        if manifest["step"] == 2:
            raise CheckpointError("of another run")

    warnings = []
    assert checkpoint.load_newest(tmp_path, warnings.append, check)[1]["step"] == 1
    assert "step_000000002: of another run" in warnings[0]


def test_save_into_a_file_raises_storage_error_and_leaves_nothing(tmp_path):
    root = tmp_path / "file"
    root.write_text("")
    with pytest.raises(StorageError, match="step 3"):
        _save(root, 3)
    assert os.listdir(tmp_path) == ["file"]


def test_save_of_a_step_that_is_there_keeps_it_unless_it_is_damaged(tmp_path):
    folder = _save(tmp_path, 1, 1.0)
    _save(tmp_path, 1, 2.0)
    assert checkpoint.load(tmp_path, 1)[0]["b"][0] == 1.0
    _damage(folder / checkpoint.ARRAYS, "truncated")
    _save(tmp_path, 1, 3.0)
    assert checkpoint.load(tmp_path, 1)[0]["b"][0] == 3.0
    assert os.listdir(tmp_path) == ["step_000000001"]


def test_facts_learned_later_enter_the_manifest(tmp_path):
    _save(tmp_path, 1, 1.0)
    checkpoint.add_entries(tmp_path, 1, {"scores": {"ema_top1_error": 0.25}})
    arrays, manifest = checkpoint.load(tmp_path, 1)
    assert manifest["note"] == "x" and manifest["scores"] == {"ema_top1_error": 0.25}
    assert sorted(os.listdir(tmp_path / "step_000000001")) == [checkpoint.ARRAYS,
                                                              checkpoint.MANIFEST]


def test_f16_retain_keeps_the_newest_and_never_the_last_valid_one(tmp_path):
    for step in range(1, 6):
        _save(tmp_path, step)
    retain(tmp_path, 2)
    assert checkpoint.steps(tmp_path) == [4, 5]
    _damage(tmp_path / "step_000000005" / checkpoint.ARRAYS, "truncated")
    retain(tmp_path, 1)
    assert checkpoint.steps(tmp_path) == [4, 5]


def test_f16_retain_keeps_the_best_by_validation_error_beside_the_newest(tmp_path):
    for step, error in enumerate([0.5, 0.2, 0.3, 0.2, 0.4, None], start=1):
        _save(tmp_path, step)
        if error is not None:
            checkpoint.add_entries(tmp_path, step, {"scores": {"ema_top1_error": error}})
    _damage(tmp_path / "step_000000004" / checkpoint.ARRAYS, "flipped")
    retain(tmp_path, 1, keep_best=2)
    assert checkpoint.steps(tmp_path) == [2, 3, 6]
    retain(tmp_path, 1, keep_best=0)
    assert checkpoint.steps(tmp_path) == [6]


def test_f17_newest_is_the_highest_step_whatever_the_clock_says(tmp_path):
    for step in (1, 2, 3):
        os.utime(_save(tmp_path, step), (10**9 - 10**5 * step,) * 2)
    retain(tmp_path, 2)
    assert checkpoint.steps(tmp_path) == [2, 3]
    assert checkpoint.load_newest(tmp_path, print)[1]["step"] == 3


def test_f11_what_tensorflow_calls_checkpoint_is_never_opened(tmp_path):
    _save(tmp_path, 1)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "../elsewhere/ckpt"')
    opened = []
    with watching_opens(opened):
        assert checkpoint.load_newest(tmp_path, print)[1]["step"] == 1
    assert opened and all("step_000000001" in path for path in opened)


@contextlib.contextmanager
def watching_opens(opened):
    """Adds to `opened` each file that Python opens; a hook of this kind cannot be removed."""
    watching = [True]

    def hook(event, arguments):
        if watching and event == "open" and isinstance(arguments[0], (str, os.PathLike)):
            opened.append(str(arguments[0]))

    sys.addaudithook(hook)
    try:
        yield
    finally:
        watching.clear()


@pytest.mark.parametrize("content", ["null", "{}", '{"format": 1, "files": {"../../x": {}}}'])
def test_foreign_manifest_is_refused(tmp_path, content):
    folder = _save(tmp_path, 1)
    (folder / checkpoint.MANIFEST).write_text(content)
    with pytest.raises(CheckpointError, match="manifest.json"):
        checkpoint.load(tmp_path, 1)


def test_manifest_is_readable_json_with_hashes(tmp_path):
    manifest = json.loads((_save(tmp_path, 1) / checkpoint.MANIFEST).read_text())
    assert len(manifest["files"][checkpoint.ARRAYS]["sha256"]) == 64
