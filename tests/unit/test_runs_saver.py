"""Checkpoints written in the background: when training waits, and what it hears of failures."""

import errno
import os
import threading

import numpy as np
import pytest

from inception_tf.errors import NonFiniteError, StorageError
from inception_tf.runs import checkpoint
from inception_tf.runs.saver import MAX_FAILURES, BackgroundSaver


def _arrays(value=0.0):
    return {"a": np.full(5, value, np.float32)}


@pytest.fixture
def saver(tmp_path):
    saver = BackgroundSaver(tmp_path, keep=2, keep_best=1)
    yield saver
    saver.wait()


@pytest.fixture
def disk(monkeypatch):
    """Switch: disk.full = True makes every write of arrays fail as a full disk does."""
    class Disk:
        full = False

    original = checkpoint.safetensors.numpy.save_file

    def save_file(*args):
        if Disk.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(*args)

    monkeypatch.setattr(checkpoint.safetensors.numpy, "save_file", save_file)
    return Disk


def test_save_returns_before_it_is_written_and_the_next_one_waits(saver, tmp_path, monkeypatch):
    may_write, original = threading.Event(), checkpoint.save
    running = []

    def slow(*args, **settings):
        running.append(1)
        assert len(running) == 1
        assert may_write.wait(30)
        original(*args, **settings)
        running.pop()

    monkeypatch.setattr(checkpoint, "save", slow)
    saver.save(1, _arrays(), {})
    assert checkpoint.steps(tmp_path) == []
    may_write.set()
    saver.save(2, _arrays(), {})
    saver.finish()
    assert checkpoint.steps(tmp_path) == [1, 2]


def test_newest_and_best_are_kept(saver, tmp_path):
    for step, error in enumerate([0.3, 0.1, 0.2, 0.2, 0.2], start=1):
        saver.save(step, _arrays(), {})
        saver.add_scores(step, {"ema_top1_error": error})
    saver.finish()
    assert checkpoint.steps(tmp_path) == [2, 4, 5]
    assert checkpoint.load(tmp_path, 2)[1]["scores"] == {"ema_top1_error": 0.1}


def test_f12_failed_save_is_logged_and_the_next_one_succeeds(saver, tmp_path, disk, caplog):
    saver.save(1, _arrays(), {})
    saver.wait()
    disk.full = True
    saver.save(2, _arrays(), {})
    saver.add_scores(2, {"ema_top1_error": 0.1})
    saver.check()
    disk.full = False
    saver.save(3, _arrays(), {})
    saver.finish()
    assert checkpoint.steps(tmp_path) == [1, 3]
    assert caplog.text.count("No space left on device") == 1


def test_f12_third_failure_in_a_row_and_a_failed_last_one_are_errors(saver, disk):
    disk.full = True
    for step in range(1, MAX_FAILURES + 1):
        saver.check()
        saver.save(step, _arrays(), {})
        saver.wait()
        with pytest.raises(StorageError, match=f"step {step}"):
            saver.finish()
    with pytest.raises(StorageError, match="No space left"):
        saver.check()


def test_f31_non_finite_array_is_heard_of_at_the_next_look(saver, tmp_path):
    saver.save(1, _arrays(), {})
    saver.save(2, _arrays(np.nan), {})
    saver.wait()
    with pytest.raises(NonFiniteError, match="step 2"):
        saver.check()
    assert checkpoint.steps(tmp_path) == [1]


def test_what_a_dead_process_left_is_removed_at_the_start(tmp_path):
    left = tmp_path / f".tmp-{os.getpid()}-left"
    left.mkdir()
    BackgroundSaver(tmp_path, 1, 1)
    assert not left.exists()


def test_f04_what_a_run_killed_before_deleting_kept_too_many_goes_at_its_end(saver, tmp_path):
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, _arrays(), {})
    saver.finish()
    assert checkpoint.steps(tmp_path) == [2, 3]
