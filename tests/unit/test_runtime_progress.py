"""What watches a run: the line of its progress, and the end of one that does nothing."""

import io
import itertools
import logging
import subprocess
import sys
import threading

import pytest

from inception_tf.runtime import progress as progress_module
from inception_tf.runtime.hang import StallWatchdog
from inception_tf.runtime.progress import StepProgress, bar, duration, working


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
    progress = StepProgress(100, 0, 8, 100)
    with progress.waiting():
        pass
    assert progress.report(10, {"loss": 1.0}) == 8.0
    progress.report(20, {"loss": 1.0})
    progress.close()
    assert "30% waiting for input  8 images/s" in caplog.messages[0]
    assert "waiting" not in caplog.messages[1]


def test_time_left_counts_the_scorings_to_come_as_long_as_the_last(monkeypatch, caplog):
    # Two reports 10 s apart with a scoring of 100 s between them, then one more.
    clock = iter([0.0, 10.0, 10.0, 10.0, 110.0, 110.0, 120.0, 120.0, 130.0, 130.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    caplog.set_level("INFO", "inception_tf")
    progress = StepProgress(35, 0, 8, 10)
    progress.report(10, {})  # nothing is known of scorings yet: 25 steps of a second
    with progress.scoring():
        pass
    progress.restart_clock(10)
    progress.report(20, {})  # 15 seconds; of the scorings at 10, 20, 30 and 35 three are left
    progress.report(30, {})
    progress.close()
    assert [line.split()[-1] for line in caplog.messages] == ["25s", "5m15s", "3m25s"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def gone_through(monkeypatch, caplog, seconds, **settings):
    """Lines logged by a bar over ten items that take so many seconds each."""
    clock = itertools.count(0.0, seconds)
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    caplog.set_level("INFO", "inception_tf")
    assert list(bar(range(10), 10, "batch", "validation", **settings)) == list(range(10))
    return caplog.messages


def test_bar_where_there_is_no_terminal_is_a_line_now_and_then(monkeypatch, caplog):
    lines = gone_through(monkeypatch, caplog, 16.0)
    assert lines == [
        "validation: batch 1 of 10, 0.0312/s, 4m48s left",
        "validation: batch 3 of 10, 0.0469/s, 2m29s left",
        "validation: batch 5 of 10, 0.0521/s, 1m36s left",
        "validation: batch 7 of 10, 0.0547/s, 55s left",
        "validation: batch 9 of 10, 0.0563/s, 18s left"]


def test_bar_of_short_work_and_of_another_worker_is_no_line(monkeypatch, caplog):
    assert gone_through(monkeypatch, caplog, 2.0) == []
    assert gone_through(monkeypatch, caplog, 16.0, is_quiet=True) == []


def test_bar_on_a_terminal_is_drawn_there(monkeypatch, caplog):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(bar(range(3), 3, "batch", "valid\x1b[2Jation")) == [0, 1, 2]
    assert "valid\\x1b[2Jation:" in sys.stderr.getvalue() and caplog.messages == []


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_line_printed_beside_a_bar_is_whole(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    out = io.StringIO()
    shown = bar(range(2), 2, "image", "predict")
    for item in shown:
        shown.write(f"picture {item}", file=out)
    assert out.getvalue().replace("\r", "") == "picture 0\npicture 1\n"


class Listening(logging.Handler):
    """Notes that something was logged."""

    def __init__(self):
        super().__init__()
        self.heard, self.line = threading.Event(), None

    def emit(self, record):
        self.line = record.getMessage()
        self.heard.set()


def test_work_without_parts_is_a_line_when_it_is_long_and_none_when_not(monkeypatch, caplog):
    caplog.set_level("INFO", "inception_tf")
    with working("exporting runs/a"):
        pass
    assert caplog.messages == []
    monkeypatch.setattr(progress_module, "LINE_SECONDS", 0.01)
    listening = Listening()
    progress_module.log.addHandler(listening)
    try:
        with working("exporting runs/a"):
            assert listening.heard.wait(20)
    finally:
        progress_module.log.removeHandler(listening)
    assert listening.line == "exporting runs/a, 0s so far"
    assert not any(t.name == "progress" for t in threading.enumerate())


def test_work_without_parts_on_a_terminal_is_shown_there_and_cleared(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with working("exporting runs/a"):
        assert "exporting runs/a, 00:00" in sys.stderr.getvalue()
    assert sys.stderr.getvalue().endswith("\r")
