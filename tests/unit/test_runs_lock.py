"""The lock of a run's folder: one process at a time, and a dead one's is taken over."""

import errno
import fcntl
import json
import os
import shutil
import socket
import stat
import subprocess
import sys

import pytest

from inception_tf.errors import StorageError, UsageError
from inception_tf.runs.folder import LOCK, locked


def _fail(number):
    raise OSError(number, os.strerror(number))


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
