"""What watches a run: the line of its progress, and the end of one that does nothing."""

import subprocess
import sys
import threading

import pytest

from inception_tf.runtime.hang import StallWatchdog
from inception_tf.runtime.progress import StepProgress, duration


def test_f39_nothing_completed_for_the_timeout_ends_with_stacks_and_code_7():
    script = ("import time\nfrom inception_tf.runtime.hang import StallWatchdog\n"
              "def read_a_batch_that_never_comes():\n    time.sleep(60)\n"
              "with StallWatchdog(0.5) as watchdog:\n"
              "    for item in watchdog.over(range(3)):\n        time.sleep(0.3)\n"
              "    read_a_batch_that_never_comes()\n")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 7, done.stderr
    assert "read_a_batch_that_never_comes" in done.stderr
    assert "--stall_timeout_s=0.5" in done.stderr


def test_stall_timeout_of_zero_never_ends_a_run():
    with StallWatchdog(0):
        assert not any(t.name == "stall watchdog" for t in threading.enumerate())


@pytest.mark.parametrize("seconds, text", [(12.3, "12s"), (245, "4m05s"), (11520, "3h12m"),
                                           (183600, "2d03h")])
def test_duration_reads_well(seconds, text):
    assert duration(seconds) == text


def test_progress_line_says_what_share_of_the_time_was_waiting_for_input(monkeypatch, caplog):
    clock = iter([0.0, 1.0, 4.0, 10.0, 10.0, 20.0, 20.0])
    monkeypatch.setattr("inception_tf.runtime.progress.time.monotonic", lambda: next(clock))
    caplog.set_level("INFO", "inception_tf")
    progress = StepProgress(100, 0, 8)
    with progress.waiting():
        pass
    assert progress.report(10, {"loss": 1.0}) == 8.0
    progress.report(20, {"loss": 1.0})
    progress.close()
    assert "30% waiting for input  8 images/s" in caplog.messages[0]
    assert "waiting" not in caplog.messages[1]
