"""Runs that are told to stop, or meet numbers that are not finite (fault lists C and E)."""

import signal

import pytest

from tests.fault.runs import (
    SCORE,
    STEP,
    assert_same_end,
    steps,
    trace,
    train,
    train_to_the_end,
)

pytestmark = pytest.mark.faults
INPUT = "inception_tf.training.loop:training_batches"
TRACE = "inception_tf.training.replica:cross_entropy"
FLUSH = "inception_tf.runtime.checkpoint:_flush"


def _stop_and_go_on(images, whole, folder, code, kill):
    """Stopped with `code` after the last completed step was saved; then the same bits."""
    ended, printed = train(images, folder, kill=kill)
    assert ended == code, printed
    assert steps(folder)[-1] == max(trace(folder)) + 1
    assert not (folder / "run" / "LOCK").exists()
    train_to_the_end(images, folder)
    assert_same_end(folder, whole)


@pytest.mark.parametrize("where, call", [(INPUT, 1), (TRACE, 1), (STEP, 3), (SCORE, 1),
                                         (FLUSH, 6)])
def test_f18_sigterm_saves_the_last_step_and_leaves_with_143(images, whole, tmp_path, where, call):
    _stop_and_go_on(images, whole, tmp_path, 143, [where, call, signal.SIGTERM])


def test_f18_sigterm_before_the_first_step_leaves_with_143_and_nothing(images, tmp_path):
    where = "inception_tf.training.loop:open_source"
    code, _ = train(images, tmp_path, kill=[where, 1, signal.SIGTERM])
    assert code == 143 and not steps(tmp_path) and not (tmp_path / "run" / "LOCK").exists()


@pytest.mark.parametrize("signals, code", [([signal.SIGTERM] * 2, 143), ([signal.SIGINT], 130)])
def test_f19_two_sigterms_and_sigint_save_as_well(images, whole, tmp_path, signals, code):
    _stop_and_go_on(images, whole, tmp_path, code, [STEP, 3, signals])


@pytest.mark.parametrize("what, value", [("image", "nan"), ("gradient", "nan"),
                                         ("gradient", "inf"), ("loss", "nan")])
def test_f30_number_that_is_not_finite_ends_with_5_and_nothing_of_the_step_is_kept(
        images, whole, tmp_path, what, value):
    code, printed = train(images, tmp_path, poison=[what, 3, value])
    assert code == 5 and "not finite" in printed and "step 3" in printed, printed
    assert steps(tmp_path)[-1] == 3
    train_to_the_end(images, tmp_path)
    assert_same_end(tmp_path, whole)
