"""Checkpoints and storage (fault list B)."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from inception_tf.runs import checkpoint
from tests.fault.killed_save import arrays
from tests.fault.runs import (
    ROOT,
    SAVE,
    STEP,
    assert_same_end,
    contents,
    finish,
    newest,
    start,
    steps,
    train,
    train_to_the_end,
)

pytestmark = pytest.mark.faults
APPEND = "inception_tf.runs.metrics:_append"
FLUSH = "inception_tf.runtime.files:flush_entry"


def _save_and_die(root, point):
    checkpoint.save(root, 1, arrays(1), {})
    words = [sys.executable, "-m", "tests.fault.killed_save", str(root), str(point)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_f08_kill_at_any_point_of_a_save_leaves_a_newest_step_that_is_whole(tmp_path):
    """Two saves with retention of one: about sixty points, each in a process of its own."""
    points = int(_save_and_die(tmp_path / "0", 0).stdout)
    assert points >= 40

    def try_point(point):
        root = tmp_path / str(point)
        assert _save_and_die(root, point).returncode == -signal.SIGKILL, point
        warnings = []
        found, manifest = checkpoint.load_newest(root, warnings.append)
        step = manifest["step"]
        assert not warnings and step in (1, 2, 3), f"point {point}: {warnings}"
        np.testing.assert_array_equal(found["weights"], arrays(step)["weights"])
        done = subprocess.run([sys.executable, "-m", "tests.fault.killed_save", str(root), "0"],
                              cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert os.listdir(root) == ["step_000000003"]
        return step

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(try_point, range(1, points + 1))) == {1, 2, 3}


@pytest.mark.parametrize("where, call", [(SAVE, 3), (FLUSH, 12), ("shutil:rmtree", 1)])
def test_f08_run_killed_in_a_save_ends_with_the_same_bits(images, whole, tmp_path, where, call):
    assert train(images, tmp_path, kill=[where, call, signal.SIGKILL])[0] == -signal.SIGKILL
    printed = train_to_the_end(images, tmp_path)
    assert steps(tmp_path)[0] == 4 and "resuming from step" in printed
    assert_same_end(tmp_path, whole)


@pytest.fixture
def copied(whole, tmp_path):
    """The uninterrupted run again, to be damaged: it has the checkpoints 4, 5 and 6."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path


def _damage(path, how):
    content = path.read_bytes()
    if how == "deleted":
        path.unlink()
    elif how == "flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1:])
    else:
        path.write_bytes(content[:len(content) // 2] if how == "cut" else b"")


@pytest.mark.parametrize("file, how, reason", [
    (checkpoint.ARRAYS, "cut", "bytes"), (checkpoint.ARRAYS, "flipped", "sha256"),
    (checkpoint.MANIFEST, "empty", ""), (checkpoint.MANIFEST, "deleted", "No such file"),
])
def test_f09_run_goes_on_before_its_damaged_newest_checkpoint(images, whole, copied, file, how,
                                                              reason):
    damaged = copied / "run" / "checkpoints" / "step_000000006" / file
    _damage(damaged, how)
    printed = train_to_the_end(images, copied)
    warnings = [line for line in printed.splitlines() if "skipped" in line]
    assert len(warnings) == 1 and str(damaged) in warnings[0] and reason in warnings[0]
    assert "resuming from step 5" in printed
    assert_same_end(copied, whole)


def test_f10_run_without_any_valid_checkpoint_ends_with_3_and_changes_nothing(images, copied):
    for step in steps(copied):
        _damage(copied / "run" / "checkpoints" / f"step_{step:09d}" / checkpoint.ARRAYS, "flipped")
    before = contents(copied)
    code, printed = train(images, copied, "--keep=9", "--log_every_steps=2")
    assert code == 3 and "none of the 3 checkpoints" in printed
    assert printed.count("skipped") == 3
    assert contents(copied) == before


def test_f12_save_beyond_the_file_size_limit_is_logged_and_training_goes_on(images, whole,
                                                                            tmp_path):
    printed = train_to_the_end(images, tmp_path, "--keep=9", limit=[SAVE, 3, 6000])
    assert printed.count("checkpoint of step 3 not written") == 1
    assert steps(tmp_path) == [1, 2, 4, 5, 6]
    assert_same_end(tmp_path, whole)


@pytest.mark.parametrize("calls, left", [([6], [3, 4, 5]), ([2, 3, 4], [1])])
def test_f12_failed_last_save_and_three_in_a_row_end_with_4(images, whole, tmp_path, calls, left):
    disk_is_full = ["safetensors.numpy:save_file", calls, errno.ENOSPC]
    code, printed = train(images, tmp_path, fail=disk_is_full)
    assert code == 4 and "No space left on device" in printed
    assert steps(tmp_path) == left
    train_to_the_end(images, tmp_path)
    assert_same_end(tmp_path, whole)


@pytest.mark.parametrize("place", ["/proc/run", "setup.cfg", "setup.cfg/run"])
def test_f13_folder_that_cannot_be_written_ends_with_2_and_its_path(images, tmp_path, place):
    code, printed = train(images, tmp_path, f"--model_dir={place}")
    assert code == 2 and f"--model_dir={place}" in printed
    assert "global batch" not in printed  # the banner, printed before the network is built


def test_f14_metrics_that_cannot_be_written_leave_training_as_it_is(images, whole, tmp_path):
    printed = train_to_the_end(images, tmp_path, fail=[APPEND, list(range(1, 99)), errno.EIO])
    (ours, _), (theirs, _) = newest(tmp_path), newest(whole)
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    for step in range(1, 7):
        warnings = [line for line in printed.splitlines()
                    if line.startswith(f"metrics of step {step} not written, training continues")]
        assert len(warnings) == 1 + (step in (4, 6))  # of the scoring as well


def test_f15_second_process_is_refused_and_a_dead_ones_lock_is_taken_over(images, whole, tmp_path):
    first = start(images, tmp_path, sleep=[STEP, 4, 100])
    try:
        while not steps(tmp_path) or steps(tmp_path)[-1] < 3:
            assert first.poll() is None
            time.sleep(0.1)
        before = contents(tmp_path / "run")
        code, printed = train(images, tmp_path)
        assert code == 2 and f"in use by process {first.pid}" in printed
        assert contents(tmp_path / "run") == before
    finally:
        first.kill()
        first.communicate()
    assert "taken over" in train_to_the_end(images, tmp_path)
    assert_same_end(tmp_path, whole)


def test_f31_non_finite_variable_is_not_saved(images, whole, tmp_path):
    code, printed = train(images, tmp_path, poison=["average", 5, "nan"])
    assert code == 5 and "checkpoint of step 5 refused" in printed
    assert steps(tmp_path) == [2, 3, 4]
    train_to_the_end(images, tmp_path)
    assert_same_end(tmp_path, whole)


def test_f39_input_that_stops_coming_ends_with_stacks_and_7(images, whole, tmp_path):
    read = "inception_tf.data.folders:FolderSource._read"
    code, printed = finish(start(images, tmp_path, "--stall_timeout_s=8", sleep=[read, 60, 100]))
    assert code == 7 and "--stall_timeout_s=8" in printed
    assert "most recent call first" in printed and "_read" in printed
    train_to_the_end(images, tmp_path)
    assert_same_end(tmp_path, whole)
