"""Runs that are told to stop, or meet numbers that are not finite (fault lists C and E)."""

import os
import signal
import time

import pytest

from inception_tf.runs import checkpoint
from tests.fault.runs import (
    SCORE,
    STEP,
    WITHIN_SECONDS,
    assert_same_end,
    finish,
    newest,
    signalled_at,
    start,
    steps,
    trace,
    train,
    train_to_the_end,
)

pytestmark = pytest.mark.faults
INPUT = "inception_tf.training.setup:training_batches"
TRACE = "inception_tf.training.replica:cross_entropy"
FLUSH = "inception_tf.runtime.files:flush_entry"


def _stop_and_go_on(images, whole, folder, code, kill):
    """Stopped with `code` after the last completed step was saved; then the same bits."""
    ended, printed = train(images, folder, kill=kill)
    assert ended == code and time.time() - signalled_at(printed) < WITHIN_SECONDS, printed
    assert steps(folder)[-1] == max(trace(folder)) + 1
    assert not (folder / "run" / "LOCK").exists()
    train_to_the_end(images, folder)
    assert_same_end(folder, whole)


@pytest.mark.parametrize("where, call", [(INPUT, 1), (TRACE, 1), (STEP, 3), (SCORE, 1),
                                         (FLUSH, 8)])
def test_f18_sigterm_saves_the_last_step_and_leaves_with_143(images, whole, tmp_path, where, call):
    _stop_and_go_on(images, whole, tmp_path, 143, [where, call, signal.SIGTERM])


def test_f18_sigterm_before_the_first_step_leaves_with_143_and_nothing(images, tmp_path):
    where = "inception_tf.training.setup:open_source"
    code, printed = train(images, tmp_path, kill=[where, 1, signal.SIGTERM])
    assert code == 143 and time.time() - signalled_at(printed) < WITHIN_SECONDS, printed
    assert not steps(tmp_path) and not (tmp_path / "run" / "LOCK").exists()


@pytest.mark.parametrize("signals, code", [([signal.SIGTERM] * 2, 143), ([signal.SIGINT], 130)])
def test_f19_two_sigterms_and_sigint_save_as_well(images, whole, tmp_path, signals, code):
    _stop_and_go_on(images, whole, tmp_path, code, [STEP, 3, signals])


def test_f19_second_sigint_in_a_save_ends_at_once_and_leaves_the_checkpoint_before(
        images, whole, tmp_path):
    """The eighth flush is in the middle of the second save, which is then never whole.

    More than two, since those that come while the main thread is in native code count as one.
    """
    code, printed = train(images, tmp_path, kill=[FLUSH, 8, [signal.SIGINT] * 10])
    assert code == 130 and "stopped by" not in printed, printed
    assert steps(tmp_path) == [1] and newest(tmp_path)[1]["step"] == 1
    assert "taken over" in train_to_the_end(images, tmp_path)
    assert_same_end(tmp_path, whole)


READ = "inception_tf.data.folders:FolderSource._read"


def _signalled_while_a_read_hangs(images, folder, call, *numbers):
    """(exit code, what it printed, seconds since the signals) where a read of a thread hangs."""
    run = start(images, folder, sleep=[READ, call, 600.0])
    while 1 not in steps(folder):
        assert run.poll() is None
        time.sleep(0.05)
    time.sleep(2)  # the examples that were read ahead are used up
    sent = time.monotonic()
    for number in numbers:
        run.send_signal(number)
        time.sleep(0.2)
    return *finish(run), time.monotonic() - sent


# In the first epoch, and in the scoring after step 4.
@pytest.mark.parametrize("call", [30, 60])
def test_f58_sigterm_while_a_read_hangs_ends_the_run_with_stacks(images, whole, tmp_path, call):
    code, printed, seconds = _signalled_while_a_read_hangs(images, tmp_path, call, signal.SIGTERM)
    assert code == 143 and seconds < WITHIN_SECONDS, printed
    assert "error: stopped by SIGTERM: saved after step" in printed
    train_to_the_end(images, tmp_path)
    assert_same_end(tmp_path, whole)


def test_f58_second_sigint_while_a_read_hangs_ends_the_run_at_once(images, tmp_path):
    code, printed, seconds = _signalled_while_a_read_hangs(images, tmp_path, 30, signal.SIGINT,
                                                           signal.SIGINT)
    assert code == 130 and seconds < 5, printed
    assert "error: ended at once by a second SIGINT: saved after step" in printed


def test_f68_line_of_a_stopped_run_says_what_was_saved(images, tmp_path):
    opening = "inception_tf.training.setup:open_source"
    _, printed = train(images, tmp_path, kill=[opening, 1, signal.SIGINT])
    assert printed.splitlines()[-1] == "error: stopped by SIGINT: nothing was saved yet"
    _, printed = train(images, tmp_path, kill=[STEP, 3, signal.SIGINT])
    assert printed.splitlines()[-1].startswith(f"error: stopped by SIGINT: saved after step "
                                               f"{steps(tmp_path)[-1]}, the same command resumes")


def test_f20_sigterm_to_the_process_group_saves_and_leaves_nobody(images, whole, tmp_path):
    """The run is the child of a shell that waits for it, as in a container; both are told."""
    shell = ["sh", "-c", 'trap : TERM; "$@"; exit $?', "sh"]
    group = start(images, tmp_path, within=shell, sleep=[STEP, 4, 3])
    while 3 not in steps(tmp_path):
        assert group.poll() is None
        time.sleep(0.05)
    os.killpg(group.pid, signal.SIGTERM)
    sent = time.monotonic()
    code, printed = finish(group)
    assert code == 143 and "error: stopped by SIGTERM" in printed, printed
    assert time.monotonic() - sent < WITHIN_SECONDS
    with pytest.raises(ProcessLookupError):
        os.killpg(group.pid, 0)
    assert steps(tmp_path)[-1] == max(trace(tmp_path)) + 1 < 6
    train_to_the_end(images, tmp_path)
    assert_same_end(tmp_path, whole)


@pytest.mark.parametrize("what, value", [("image", "nan"), ("gradient", "nan"),
                                         ("gradient", "inf"), ("loss", "nan")])
def test_f30_number_that_is_not_finite_ends_with_5_and_nothing_of_the_step_is_kept(
        images, whole, tmp_path, what, value):
    code, printed = train(images, tmp_path, poison=[what, 3, value])
    assert code == 5 and "not finite" in printed and "step 3" in printed, printed
    assert steps(tmp_path)[-1] == 3
    train_to_the_end(images, tmp_path)
    assert_same_end(tmp_path, whole)


def test_f32_learning_rate_beyond_all_bounds_ends_with_5_before_anything_broken_is_saved(
        images, tmp_path):
    code, printed = train(images, tmp_path, "--learning_rate=1e20", "--max_steps=40")
    assert code == 5 and "loss or gradient is not finite at step" in printed, printed
    assert len(trace(tmp_path)) <= 5
    for step in steps(tmp_path):
        arrays, _ = checkpoint.load(tmp_path / "run" / "checkpoints", step)
        assert not checkpoint.not_finite(arrays)
