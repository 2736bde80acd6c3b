"""Stop signals: when they are raised, also where the main thread cannot hear them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inception_tf.runtime.signals import Interrupted, StopSignals

ROOT = Path(__file__).parents[2]
# The main thread waits in native code that no signal interrupts, as TensorFlow does for a read.
BLOCKED = """
import ctypes, hashlib, os, signal, sys, time
from inception_tf.runtime import listener
from inception_tf.runtime.signals import StopSignals, patience
listener.GRACE_SECONDS, listener.IDLE_SECONDS = 0.5, 1.0
lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(64)
def wait_for_a_read_that_hangs():
    print("ready", flush=True)
    lock(mutex), lock(mutex)
def compute():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 8_000_000)
with StopSignals() as stop:
    stop.stands = lambda: "saved after step 7"
"""


def signalled(script, *numbers):
    """(standard output after "ready", standard error, exit code) of a script of Python."""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.2)
        try:
            printed, said = process.communicate(timeout=30)
        finally:
            process.kill()
    return printed, said, process.returncode


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_f58_signal_that_the_main_thread_cannot_hear_ends_the_process_with_stacks(number, code):
    _, said, ended = signalled(BLOCKED + "    wait_for_a_read_that_hangs()", number)
    assert ended == code and "in wait_for_a_read_that_hangs" in said
    assert said.splitlines()[-1].startswith(f"error: stopped by {number.name}: saved after step 7")


def test_f58_second_sigint_ends_a_process_that_hangs_at_once():
    script = BLOCKED.replace("= 0.5, 1.0", "= 99.0, 1.0") + "    wait_for_a_read_that_hangs()"
    _, said, ended = signalled(script, signal.SIGINT, signal.SIGINT)
    assert ended == 130
    assert said == "error: ended at once by a second SIGINT: saved after step 7\n"


@pytest.mark.parametrize("work", [
    "compute()",  # a long update
    "print('ready', flush=True)\n    with patience(): time.sleep(3)",  # a long save
])
def test_process_that_computes_or_saves_after_a_signal_is_left_alone(work):
    printed, said, ended = signalled(BLOCKED + f"    {work}\n    print('done')", signal.SIGTERM)
    assert (printed, said, ended) == ("done\n", "", 0)


def test_signal_in_a_lazy_import_is_raised_where_nothing_swallows_it(tmp_path):
    (tmp_path / "slow.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(1)\n")
    script = (f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
              "from inception_tf.commands.shell import exit_code_of\n"
              "def main(argv):\n"
              "    try:\n        import slow\n    except Exception:\n        pass\n"
              "    for _ in range(100):\n        import time; time.sleep(0.05)\n"
              "sys.exit(exit_code_of(main, []))\n")
    printed, said, ended = signalled(script, signal.SIGINT)
    assert (printed, said, ended) == ("", "error: stopped by SIGINT\n", 130)


def test_thread_that_hangs_does_not_keep_a_command_that_is_over():
    script = ("import threading, sys\nfrom inception_tf import __main__\n"
              "from inception_tf.runtime import listener\nlistener.END_SECONDS = 0.5\n"
              "from inception_tf.commands import inspect\n"
              "from inception_tf.errors import DataError\n"
              "def main(argv):\n    threading.Thread(target=threading.Event().wait).start()\n"
              "    print('ready', flush=True)\n    raise DataError('bad')\n"
              "inspect.main = main\n__main__.run('inspect', [])\n")
    _, said, ended = signalled(script)
    assert (said, ended) == ("error: bad\n", 6)


def _has(process, text):
    return text in Path(f"/proc/{process.pid}/maps").read_text()


def _catches_signals(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("moment", [_catches_signals, lambda p: _has(p, "numpy"),
                                    lambda p: _has(p, "libtensorflow_cc"),
                                    lambda p: _has(p, "h5py")])
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_f68_signal_in_the_first_seconds_is_one_line(tmp_path, moment, number, code):
    words = [sys.executable, "-m", "inception_tf", "prepare", "--dataset=shapes",
             f"--data_dir={tmp_path / 'data'}"]
    with subprocess.Popen(words, cwd=ROOT, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        while not moment(process):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert _ours(printed) == [f"error: stopped by {number.name}"]


def _ours(printed):
    """The lines that are not TensorFlow's own, of an import that was broken off."""
    return [line for line in printed.splitlines() if "rror" in line or "raceback" in line]


@pytest.mark.parametrize("closed, words, code", [
    ("2>&-", "inspect --net=inception_v3 --width=0.1", 0), ("2>&-", "inspect --nett=x", 2),
    (">&-", "inspect --help", 0), ("<&- >&- 2>&-", "launch", 2)])
def test_standard_streams_that_are_closed_change_no_exit_code(closed, words, code):
    line = f"{sys.executable} -m inception_tf {words} {closed}"
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code, done.stderr


def test_f64_process_whose_launcher_is_gone_ends_at_once():
    environment = {**os.environ, "INCEPTION_TF_PARENT": str(2**22)}
    done = subprocess.run([sys.executable, "-m", "inception_tf", "inspect"], cwd=ROOT,
                          env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL and done.stdout == b""


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
