"""Two workers on loopback, of which one is killed, stopped or missing (fault list D).

One run meets four faults in turn, a fixture each, and is started again after each of them. It has
to end with the bits of two workers that nothing happened to.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from inception_tf.commands.launch import free_ports
from inception_tf.runtime.cluster import Cluster
from tests.fault.runs import (
    FLAGS,
    ROOT,
    STEP,
    WITHIN_SECONDS,
    assert_same_end,
    finish,
    finish_all,
    newest,
    signalled_at,
    start,
    start_workers,
    steps,
    trace,
    train_to_the_end,
)

pytestmark = pytest.mark.faults
FLUSH = "inception_tf.runtime.files:flush_entry"


def _run_two(images, folder, *flags, spec=None):
    """What two workers did: codes, printed, addresses, saved (steps), made (updates of each)."""
    processes, addresses = start_workers(images, folder, 2, *flags, spec=spec)
    codes, printed = finish_all(processes)
    return SimpleNamespace(codes=codes, printed=printed, addresses=addresses, saved=steps(folder),
                           made=[max(trace(folder, f"trace.{i}")) + 1 for i in range(2)])


def _run_two_with(images, folder, worker, kill):
    """The same, where `worker` sends itself a signal; and the seconds from it to their end."""
    run = _run_two(images, folder, spec={worker: {"kill": kill}})
    run.seconds = time.time() - signalled_at(run.printed[worker])
    return run


@pytest.fixture(scope="module")
def whole_pair(images, tmp_path_factory):
    """The folder of two workers that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole_pair")
    run = _run_two(images, folder)
    assert run.codes == [0, 0], run.printed
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faulty_pair")


@pytest.fixture(scope="module")
def terminated(images, folder):
    return _run_two_with(images, folder, 1, [STEP, 2, signal.SIGTERM])


@pytest.fixture(scope="module")
def bereft(images, folder, terminated):
    return _run_two_with(images, folder, 1, [STEP, 2, signal.SIGKILL])


@pytest.fixture(scope="module")
def beheaded(images, folder, bereft):
    """The chief is killed between the second and the third of a save's four flushes."""
    run = _run_two_with(images, folder, 0, [FLUSH, 5, signal.SIGKILL])
    run.half_written = list((folder / "run" / "checkpoints").glob(".tmp-*"))
    run.newest = newest(folder)[1]["step"]
    return run


@pytest.fixture(scope="module")
def frozen(images, folder, beheaded):
    """Worker 1 is stopped, and continues when the other has ended."""
    processes, addresses = start_workers(
        images, folder, 2, spec={1: {"kill": [STEP, 2, signal.SIGSTOP]}})
    try:
        code, printed = finish(processes[0])
        ended = time.time()
    finally:
        processes[1].send_signal(signal.SIGCONT)
        woken, printed_by_woken = finish(processes[1], 60)
    return SimpleNamespace(codes=[code, woken], printed=[printed, printed_by_woken],
                           addresses=addresses, seconds=ended - signalled_at(printed_by_woken),
                           saved=steps(folder))


def test_f25_sigterm_to_one_worker_stops_all_after_the_same_saved_step(terminated):
    assert terminated.codes == [143, 143], terminated.printed
    assert terminated.seconds < WITHIN_SECONDS
    assert terminated.made == [terminated.saved[-1]] * 2 and terminated.saved[-1] < 4


def test_f21_killed_worker_ends_the_other_with_code_8_and_its_name(terminated, bereft):
    assert bereft.codes == [8, -signal.SIGKILL] and bereft.seconds < WITHIN_SECONDS, bereft.printed
    assert f"lost the worker at {bereft.addresses[1]}" in bereft.printed[0]
    assert bereft.saved[-1] == terminated.saved[-1] + 1


def test_f22_chief_killed_in_a_save_ends_the_other_with_8_and_that_save_is_not_seen(
        bereft, beheaded):
    assert beheaded.codes == [-signal.SIGKILL, 8], beheaded.printed
    assert beheaded.seconds < WITHIN_SECONDS
    assert f"lost the worker at {beheaded.addresses[0]}" in beheaded.printed[1]
    assert len(beheaded.half_written) == 1
    assert beheaded.saved == bereft.saved and beheaded.newest == bereft.saved[-1]


def test_f23_stopped_worker_ends_the_other_with_8_and_itself_when_it_goes_on(beheaded, frozen):
    assert frozen.codes == [8, 8] and frozen.seconds < WITHIN_SECONDS, frozen.printed
    assert frozen.addresses[1] in frozen.printed[0] and frozen.addresses[0] in frozen.printed[1]
    assert frozen.saved[-1] == beheaded.saved[-1] + 1


def test_f21_two_workers_started_again_after_each_of_these_end_with_the_same_bits(
        images, whole_pair, folder, frozen):
    run = _run_two(images, folder)
    assert run.codes == [0, 0], run.printed
    assert "INFO:tensorflow" not in run.printed[0]  # a line for each collective, twice
    assert all(f"resuming from step {frozen.saved[-1]} " in text for text in run.printed)
    assert_same_end(folder, whole_pair, names=("trace.0", "trace.1"))


def test_f20_launch_starts_again_after_a_kill_and_passes_sigterm_to_all(images, tmp_path):
    """At the end each process gets SIGTERM, as where a container is stopped."""
    words = [sys.executable, "-m", "inception_tf", "launch", "--num_workers=2", "--max_restarts=3",
             "--", "train", *FLAGS, f"--data_dir={images}", f"--model_dir={tmp_path / 'run'}",
             "--max_steps=99999", "--epochs=99999", "--eval_every_epochs=0"]
    group = subprocess.Popen(words, cwd=ROOT, text=True, bufsize=1, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
    try:
        _read_until(group, "step 2/99999")
        killed = _children_of(group.pid)
        os.kill(killed[1], signal.SIGKILL)
        assert "(SIGKILL), worker 0 with 8: starting the group again (1 of 3)" in _read_until(
            group, "(1 of 3)")
        assert "resuming from step" in _read_until(group, "[worker 0] step")
        workers = _children_of(group.pid)
        assert len(workers) == 2 and not set(workers) & set(killed)
        for pid in (*workers, group.pid):
            os.kill(pid, signal.SIGTERM)
        code, printed = finish(group, WITHIN_SECONDS)
    finally:
        group.terminate()
    assert code == 143 and printed.count("error: stopped by SIGTERM") == 2, printed
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert newest(tmp_path)[1]["step"] == steps(tmp_path)[-1]
    assert not (tmp_path / "run" / "LOCK").exists()


def test_f64_killed_launch_leaves_no_worker_and_its_folder_can_be_used_at_once(images, tmp_path):
    words = [sys.executable, "-m", "inception_tf", "launch", "--num_workers=2", "--", "train",
             *FLAGS, f"--data_dir={images}", f"--model_dir={tmp_path / 'run'}", "--max_steps=99999",
             "--epochs=99999", "--eval_every_epochs=0"]
    group = subprocess.Popen(words, cwd=ROOT, text=True, bufsize=1, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
    _read_until(group, "step 2/99999")
    workers = _children_of(group.pid)
    group.kill()
    group.communicate()
    assert len(workers) == 2
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    last = newest(tmp_path)[1]["step"]
    again = subprocess.run([*words, f"--max_steps={last + 1}"], cwd=ROOT, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert again.returncode == 0 and f"resuming from step {last} " in again.stdout, again.stdout


def _read_until(process, text):
    """What it printed up to a line with `text`."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def _children_of(parent):
    """Process ids in ascending order."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            before, _, after = path.read_text().rpartition(")")
            if int(after.split()[1]) == parent:
                found.append(int(before.split()[0]))
    return sorted(found)


@pytest.fixture
def addresses():
    return tuple(f"127.0.0.1:{port}" for port in free_ports(2))


def _start_one(images, folder, addresses, index, *flags, **spec):
    """Worker `index` without the other."""
    return start(images, folder, *flags, trace=f"trace.{index}",
                 environment={"TF_CONFIG": Cluster(addresses, index).tf_config()}, **spec)


def test_f24_worker_that_never_starts_is_named_at_the_startup_timeout(images, addresses, tmp_path):
    code, printed = finish(_start_one(images, tmp_path, addresses, 0, "--startup_timeout_s=5"))
    assert code == 8 and addresses[1] in printed, printed


@pytest.fixture
def silent(addresses):
    """The second worker accepts connections and is none: TensorFlow waits for it without end."""
    with socket.create_server(("127.0.0.1", int(addresses[1].rpartition(":")[2]))):
        yield


def test_f24_worker_that_answers_and_never_joins_ends_with_8_at_the_startup_timeout(
        images, addresses, silent, tmp_path):
    code, printed = finish(_start_one(images, tmp_path, addresses, 0, "--startup_timeout_s=5"))
    assert code == 8 and "--startup_timeout_s=5" in printed.splitlines()[-1], printed


@pytest.mark.parametrize("numbers, code", [([signal.SIGTERM], 143), ([signal.SIGINT] * 2, 130)])
def test_f58_signal_while_tensorflow_waits_for_a_worker(images, addresses, silent, tmp_path,
                                                        numbers, code):
    run = _start_one(images, tmp_path, addresses, 0,
                     kill=["inception_tf.runtime.devices:_multi_worker", 1, 0])
    _read_until(run, "signal sent")  # number 0 is none
    time.sleep(2)  # TensorFlow has taken SIGTERM for itself
    sent = time.monotonic()
    for number in numbers:
        run.send_signal(number)
        time.sleep(0.2)
    ended, printed = finish(run)
    assert ended == code and time.monotonic() - sent < WITHIN_SECONDS, printed


def test_f59_two_workers_of_one_address_end_with_2(images, addresses, tmp_path):
    twice = (addresses[0], addresses[0].replace("127.0.0.1", "localhost"))
    config = {"cluster": {"worker": twice}, "task": {"type": "worker", "index": 0}}
    code, printed = finish(start(images, tmp_path, environment={"TF_CONFIG": json.dumps(config)}))
    assert code == 2 and "workers 0 and 1 have one address" in printed.splitlines()[-1]


def test_f18_sigterm_while_a_worker_is_awaited_leaves_with_143(images, addresses, tmp_path):
    asked = "inception_tf.runtime.peers:unreachable"
    code, printed = finish(_start_one(images, tmp_path, addresses, 0,
                                      kill=[asked, 3, signal.SIGTERM]))
    assert code == 143 and time.time() - signalled_at(printed) < WITHIN_SECONDS, printed


def test_f26_workers_of_different_settings_are_refused_before_the_first_step(
        images, addresses, tmp_path):
    codes, printed = finish_all([_start_one(images, tmp_path, addresses, i, f"--seed={i}")
                                 for i in range(2)])
    assert codes == [2, 2], printed
    assert all("do not have the same settings" in text for text in printed)
    assert not list(tmp_path.glob("trace*")) and not (tmp_path / "run" / "config.json").exists()


def test_f27_two_workers_one_and_two_again_see_what_one_process_sees(images, tmp_path):
    """Nothing here depends on the number of replicas: batch norm frozen, no dropout."""
    flags = ("--batch_norm=frozen", "--dropout=0", "--eval_every_epochs=0")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir(), theirs.mkdir()
    train_to_the_end(images, theirs, *flags, "--max_steps=12")
    assert _run_two(images, ours, *flags, "--max_steps=4").codes == [0, 0]
    printed = train_to_the_end(images, ours, *flags, "--max_steps=8")
    assert "not bitwise" in printed and "workers 2, now 1" in printed
    assert _run_two(images, ours, *flags, "--max_steps=12").codes == [0, 0]

    first, second, middle, whole = (trace(f, name) for f, name in (
        (ours, "trace.0"), (ours, "trace.1"), (ours, "trace"), (theirs, "trace")))
    assert first.keys() | middle.keys() == whole.keys() == set(range(12))
    assert first.keys() & middle.keys() == set()
    for step, line in whole.items():
        parts = [middle[step]] if step in middle else [first[step], second[step]]
        assert sum((part["indices"] for part in parts), []) == line["indices"]
        for part in parts:
            losses = float.fromhex(part["loss"]), float.fromhex(line["loss"])
            np.testing.assert_allclose(*losses, rtol=1e-5)
