"""Runs that are killed and started again (fault list A)."""

import signal

import numpy as np
import pytest

from tests.fault.runs import (
    REPORT,
    STEP,
    assert_same_end,
    metrics,
    start,
    steps,
    trace,
    train,
    train_to_the_end,
)

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("killed_after", [1, 3, 5, 6])
def test_f01_run_killed_after_a_step_ends_with_the_same_bits(images, whole, tmp_path,
                                                             killed_after):
    """First step, mid-epoch, last of the epoch, first of the next one."""
    flags = () if killed_after < 6 else ("--max_steps=7",)
    code, _ = train(images, tmp_path, *flags, kill=[STEP, killed_after + 1, signal.SIGKILL])
    assert code == -signal.SIGKILL and max(trace(tmp_path)) == killed_after - 1
    train_to_the_end(images, tmp_path)
    assert_same_end(tmp_path, whole)


def test_f01_killed_run_of_a_network_of_the_paper_ends_with_the_same_bits(images, tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir(), theirs.mkdir()
    train_to_the_end(images, theirs, small=False)
    assert train(images, ours, small=False, kill=[STEP, 4, signal.SIGKILL])[0] == -signal.SIGKILL
    train_to_the_end(images, ours, small=False)
    assert_same_end(ours, theirs)


def test_f04_crash_loop_ends_with_the_same_bits_and_leaves_no_more_than_is_kept(images, tmp_path):
    """Killed in every third update until nothing is left to do."""
    flags = ("--max_steps=18", "--checkpoint_every_epochs=0.4")  # saved at every second step
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir(), theirs.mkdir()
    train_to_the_end(images, theirs, *flags)
    restarts = 0
    while (code := train(images, ours, *flags, kill=[STEP, 4, signal.SIGKILL])[0]) != 0:
        assert code == -signal.SIGKILL and restarts < 20
        restarts += 1
        assert len(steps(ours)) <= 3 + 1  # killed before the oldest gave way to the newest
    assert restarts >= 8
    assert steps(ours) == steps(theirs) == [14, 16, 18]
    assert_same_end(ours, theirs)


def test_f05_run_killed_in_its_last_scoring_makes_no_update_again(images, whole, tmp_path):
    code, _ = train(images, tmp_path, kill=[REPORT, 2, signal.SIGKILL])
    assert code == -signal.SIGKILL and steps(tmp_path)[-1] == 6
    made = (tmp_path / "trace").read_text()
    train_to_the_end(images, tmp_path)
    assert (tmp_path / "trace").read_text() == made
    assert [row["step"] for row in metrics(tmp_path, "validation")] == [4, 6]
    assert_same_end(tmp_path, whole)


def test_f07_other_number_of_threads_is_said_once_and_stays_within_rounding(images, tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir(), theirs.mkdir()
    train_to_the_end(images, theirs, "--max_steps=12")
    train_to_the_end(images, ours, "--max_steps=2")
    again = start(images, ours, "--max_steps=12", environment={"TF_NUM_INTRAOP_THREADS": "7"})
    printed, _ = again.communicate(timeout=120)
    assert again.returncode == 0, printed
    assert printed.count("not bitwise") == 1 and "now 7" in printed
    a, b = trace(ours), trace(theirs)
    assert [a[s]["indices"] for s in range(12)] == [b[s]["indices"] for s in range(12)]
    losses = [[float.fromhex(t[s]["loss"]) for s in range(12)] for t in (a, b)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
