"""What every run stands on: signals, the lock, metrics files."""

import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading

import pytest

from inception_tf.errors import StorageError, UsageError
from inception_tf.runs.folder import LOCK, locked
from inception_tf.runs.metrics import MetricsWriter, read_metrics
from inception_tf.runtime.hang import StallWatchdog
from inception_tf.runtime.progress import StepProgress, duration
from inception_tf.runtime.signals import Interrupted, StopSignals


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stop_signal_is_noted_and_raised_only_when_asked(number, code):
    before = signal.getsignal(number)  # SIGINT is ignored in a shell's background
    with StopSignals() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        with pytest.raises(Interrupted) as caught:
            stop.interrupt()
    assert caught.value.exit_code == code
    assert signal.getsignal(number) is before


def test_stop_signal_before_there_is_anything_to_save_is_raised_where_it_comes():
    with StopSignals() as stop, pytest.raises(Interrupted):
        with stop.at_once():
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("went on")


def test_second_sigint_ends_the_process_at_once():
    script = ("import os, signal\nfrom inception_tf.runtime.signals import StopSignals\n"
              "with StopSignals():\n"
              "    os.kill(os.getpid(), signal.SIGINT)\n    os.kill(os.getpid(), signal.SIGINT)\n"
              "    print('still here')\n")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 130 and done.stdout == ""


def test_lock_of_a_living_process_refuses_a_second_and_ends_with_it(tmp_path):
    with locked(tmp_path):
        with pytest.raises(UsageError, match=f"in use by process {os.getpid()}"):
            with locked(tmp_path):
                pass
        assert (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize("left, warned", [
    ('{"pid": 999999999, "host": "HOST", "started": 1}', "999999999"), ("", None),
    ('{"pid": PID, "host": "HOST", "started": 1}', "PID"), ("[]", "does not say"),
    ('{"pid": [1], "host": "HOST"}', "does not say"), ("\x00" * 5000, "does not say")])
def test_f53_lock_left_by_a_dead_process_is_taken_over(tmp_path, caplog, left, warned):
    left, warned = (text and text.replace("HOST", socket.gethostname()).replace(
        "PID", str(os.getpid())) for text in (left, warned))
    (tmp_path / LOCK).write_text(left)
    with locked(tmp_path) as lock:
        assert json.loads(lock.path.read_text())["pid"] == os.getpid()
    assert caplog.messages == [] if warned is None else warned in caplog.messages[0]
    assert not lock.path.exists()


def test_lock_of_another_host_is_respected(tmp_path):
    (tmp_path / LOCK).write_text('{"pid": 1, "host": "elsewhere.invalid", "started": 1}')
    with pytest.raises(UsageError, match="elsewhere.invalid"):
        with locked(tmp_path):
            pass


@pytest.mark.parametrize("make, reason", [
    (os.mkdir, "Is a directory"), (os.mkfifo, "is no file"),
    (lambda path: path.symlink_to(path.parent / "mine"), "it is a link"),
    (lambda path: path.symlink_to(path), "it is a link"),
    (lambda path: os.mknod(path, 0o644 | stat.S_IFSOCK), "No such device"),
])
def test_f53_lock_that_is_no_file_is_one_line_and_is_left(tmp_path, make, reason):
    make(tmp_path / LOCK)
    with pytest.raises(UsageError, match=f"{LOCK} .*{reason}.*remove it"), locked(tmp_path):
        pass
    assert os.listdir(tmp_path) == [LOCK]


def test_f53_lock_on_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "pwrite", lambda *_: _fail(errno.ENOSPC))
    with pytest.raises(StorageError, match="LOCK not written: No space left"), locked(tmp_path):
        pass
    assert not os.listdir(tmp_path)


def test_f53_file_system_without_locks_costs_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(fcntl, "flock", lambda *_: _fail(errno.ENOLCK))
    with locked(tmp_path):
        assert "cannot be locked (No locks available)" in caplog.messages[0]


@pytest.mark.parametrize("left", [None, '{"pid": 999999999, "host": "HOST"}', ""])
def test_f53_of_processes_that_race_for_a_folder_one_holds_it(tmp_path, left):
    left = left and left.replace("HOST", socket.gethostname())
    done = subprocess.run([sys.executable, "-c", RACE, str(tmp_path), json.dumps(left)],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and set(json.loads(done.stdout)) == {1}, done.stderr


# Holders of each of many rounds in which four processes ask at the same moment; then the most that
# were inside at once while they take and leave it as they please.
RACE = """
import json, logging, multiprocessing, sys, time
from pathlib import Path
from inception_tf.errors import UsageError
from inception_tf.runs.folder import LOCK, locked
folder, left = Path(sys.argv[1]), json.loads(sys.argv[2])
logging.disable()

def ask_together(number, i):
    if number == 0 and left is not None:
        (folder / LOCK).write_text(left)
    barrier.wait(60)
    try:
        with locked(folder):
            add(i, 1)
            barrier.wait(60)
    except UsageError:
        barrier.wait(60)
    barrier.wait(60)

def ask_at_will():
    try:
        with locked(folder):
            add(-2, 1)
            holders[-1] = max(holders[-1], holders[-2])
            add(-2, -1)
    except UsageError:
        time.sleep(0)

def add(i, n):
    with holders.get_lock():
        holders[i] += n

def race(number):
    for i in range(100):
        ask_together(number, i)
    for i in range(1000):
        ask_at_will()

fork = multiprocessing.get_context("fork")
barrier, holders = fork.Barrier(4), fork.Array("i", 102)
racers = [fork.Process(target=race, args=(n,)) for n in range(4)]
[racer.start() for racer in racers]
[racer.join() for racer in racers]
print(json.dumps(holders[:100] + holders[101:]))
"""


def test_f60_lock_knows_when_its_folder_was_removed_moved_or_given_to_another(tmp_path):
    folder = tmp_path / "run"
    for end in (shutil.rmtree, lambda path: path.rename(tmp_path / "moved"),
                lambda path: (path / LOCK).unlink()):
        folder.mkdir(exist_ok=True)
        with locked(folder) as lock:
            lock.require_held()
            end(folder)
            with pytest.raises(StorageError, match="removed or moved away"):
                lock.require_held()
            folder.mkdir(exist_ok=True)
            with locked(folder) as other, pytest.raises(StorageError):
                lock.require_held()
        other.path.write_text("of a third")


def test_metrics_after_the_resumed_step_and_cut_rows_are_dropped(tmp_path):
    writer = MetricsWriter(tmp_path)
    for step in (1, 2, 3):
        writer.write(step, {"loss": step / 3})
    writer.close()
    with writer.path.open("a") as file:
        file.write("4,0.")
    resumed = MetricsWriter(tmp_path, resume_step=2)
    resumed.write(3, {"loss": 0.5})
    resumed.close()
    assert read_metrics(writer.path) == [
        {"step": 1, "loss": 1 / 3}, {"step": 2, "loss": 2 / 3}, {"step": 3, "loss": 0.5}]


def test_f14_metrics_that_cannot_be_written_cost_one_warning_and_come_with_the_next(
        tmp_path, caplog, monkeypatch):
    writer = MetricsWriter(tmp_path)
    writer.write(1, {"loss": 1.0})
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", _input_output_error)
        writer.write(2, {"loss": 2.0})
        assert caplog.text.count("training goes on") == 1
    assert [row["step"] for row in read_metrics(writer.path)] == [1]
    writer.write(3, {"loss": 3.0})
    writer.close()
    assert [row["step"] for row in read_metrics(writer.path)] == [1, 2, 3]


def _input_output_error(descriptor):
    _fail(errno.EIO)


def _fail(number):
    raise OSError(number, os.strerror(number))


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
