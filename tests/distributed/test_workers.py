"""Real workers on loopback: the same numbers as one process, and faults of peers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from inception_tf.commands.launch import free_ports
from inception_tf.runtime import checkpoint
from inception_tf.runtime.cluster import Cluster
from inception_tf.runtime.writers import read_metrics
from tests.pictures import write_image_folder

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
# Nothing that depends on the number of replicas: batch norm frozen, no dropout.
FLAGS = ["--preset=tiny", "--dataset=folder", "--global_batch=12", "--replica_batch=12",
         "--batch_norm=frozen", "--dropout=0", "--learning_rate=0.01", "--epochs=99",
         "--log_every_steps=1", "--eval_every_epochs=0", "--checkpoint_every_epochs=0"]
NUM_HELD_OUT = 43


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return write_image_folder(folder, {"train": 40, "validation": NUM_HELD_OUT})


def _start(images, folder, num_workers, *flags, spec=None, missing=()):
    """The processes of a group; `spec` maps a worker to its hooks (tests/hooked.py)."""
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(num_workers))
    processes = []
    for index in range(num_workers):
        if index in missing:
            continue
        hooks = {"trace": str(folder / f"trace.{index}"), **(spec or {}).get(index, {})}
        words = [sys.executable, "-m", "tests.hooked", json.dumps(hooks), "train", *FLAGS,
                 f"--data_dir={images}", f"--model_dir={folder / 'run'}", *flags]
        environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
        if num_workers > 1:
            environment["TF_CONFIG"] = Cluster(addresses, index).tf_config()
        processes.append(subprocess.Popen(words, cwd=ROOT, env=environment, text=True,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    return processes, addresses


def _finish(processes, timeout=240):
    """(codes, outputs) when all have ended; whatever is left is killed."""
    deadline = time.monotonic() + timeout
    try:
        outputs = [p.communicate(timeout=max(1, deadline - time.monotonic()))[0] for p in processes]
    finally:
        for p in processes:
            p.kill()
    return [p.returncode for p in processes], outputs


def _run(images, folder, num_workers, *flags, **kwargs):
    folder.mkdir(exist_ok=True)
    return _finish(_start(images, folder, num_workers, *flags, **kwargs)[0])


def _arrays(folder):
    return checkpoint.load_newest(folder / "run" / "checkpoints", print)[0]


def _indices(folder, num_workers):
    """Per step, the record indices of all workers in order."""
    lines = [[json.loads(line) for line in (folder / f"trace.{i}").read_text().splitlines()]
             for i in range(num_workers)]
    return [sum((line["indices"] for line in step), []) for step in zip(*lines, strict=True)]


@pytest.fixture(scope="module")
def alone(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    codes, outputs = _run(images, folder, 1, "--max_steps=20")
    assert codes == [0], outputs
    return folder


@pytest.fixture(scope="module")
def first(images, tmp_path_factory):
    """The same run after its first step."""
    folder = tmp_path_factory.mktemp("first")
    codes, outputs = _run(images, folder, 1, "--max_steps=1")
    assert codes == [0], outputs
    return folder


def _assert_paths_agree(ours, theirs, start):
    """Both went the same way from `start`: apart by under 0.1 % of the way, for every array."""
    assert ours.keys() == theirs.keys()
    for name in theirs:
        way = np.linalg.norm(theirs[name] - start[name])
        apart = np.linalg.norm(ours[name] - theirs[name])
        assert apart <= 0.001 * way + 1e-6, f"{name}: {apart:.3g} apart after a way of {way:.3g}"


@pytest.mark.parametrize("num_workers, flags", [
    (2, []), (3, []), (2, ["--replica_batch=3", "--steps_per_call=4"])])
def test_workers_after_20_steps_equal_one_process(alone, first, images, tmp_path, num_workers,
                                                  flags):
    codes, outputs = _run(images, tmp_path, num_workers, "--max_steps=20", *flags)
    assert codes == [0] * num_workers, outputs
    # Passes of an accumulated batch go round all workers, so within a step the order differs.
    ours, theirs = _indices(tmp_path, num_workers), _indices(alone, 1)
    assert (ours if not flags else list(map(sorted, ours))) == (
        theirs if not flags else list(map(sorted, theirs)))
    _assert_paths_agree(_arrays(tmp_path), _arrays(alone), _arrays(first))
    rows, expected = (read_metrics(f / "run/validation/metrics.csv") for f in (tmp_path, alone))
    assert rows[-1]["num_examples"] == NUM_HELD_OUT
    assert rows[-1]["ema_top1_error"] == expected[-1]["ema_top1_error"]


def test_f29_workers_leave_only_the_files_of_one_writer(alone, images, tmp_path):
    codes, outputs = _run(images, tmp_path, 2, "--max_steps=2")
    assert codes == [0, 0], outputs
    ours, theirs = (sorted(p.relative_to(f / "run").parent for p in (f / "run").rglob("*")
                           if p.is_file() and "step_" not in str(p)) for f in (tmp_path, alone))
    assert ours == theirs


def test_f21_killed_worker_ends_the_other_with_code_8_and_its_name(images, tmp_path):
    hooks = {1: {"kill": ["inception_tf.training.step:TrainStep.__call__", 4, signal.SIGKILL]}}
    processes, addresses = _start(images, tmp_path, 2, "--max_steps=500", spec=hooks)
    processes[1].wait(200)
    died = time.monotonic()
    codes, outputs = _finish(processes, 60)
    assert time.monotonic() - died < 30
    assert codes == [8, -9], outputs
    assert addresses[1] in outputs[0] and "Traceback" not in outputs[0]


def test_f24_worker_that_never_starts_is_named_at_the_startup_timeout(images, tmp_path):
    processes, addresses = _start(images, tmp_path, 2, "--startup_timeout_s=5", missing=[1])
    codes, outputs = _finish(processes, 60)
    assert codes == [8] and addresses[1] in outputs[0]


def test_f25_sigterm_to_one_worker_stops_all_after_the_same_saved_step(images, tmp_path):
    hooks = {1: {"kill": ["inception_tf.training.step:TrainStep.__call__", 3, signal.SIGTERM]}}
    codes, outputs = _run(images, tmp_path, 2, "--max_steps=100", spec=hooks)
    assert codes == [143, 143], outputs
    assert _arrays(tmp_path)["step"] == len(_indices(tmp_path, 2))


def test_f26_workers_of_different_configs_are_refused_before_the_first_step(images, tmp_path):
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(2))
    processes = []
    for index in range(2):
        environment = {**os.environ, "TF_CONFIG": Cluster(addresses, index).tf_config()}
        words = [sys.executable, "-m", "inception_tf", "train", *FLAGS, f"--seed={index}",
                 f"--data_dir={images}", f"--model_dir={tmp_path / 'run'}"]
        processes.append(subprocess.Popen(words, cwd=ROOT, env=environment, text=True,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    codes, outputs = _finish(processes, 100)
    assert codes == [2, 2]
    assert all("do not have the same settings" in text for text in outputs)


def test_launch_prefixes_lines_and_ends_all_when_one_fails(images, tmp_path):
    words = [sys.executable, "-m", "inception_tf", "launch", "--num_workers=2", "--", "train",
             *FLAGS, "--data_dir=/nowhere", f"--model_dir={tmp_path}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "[worker 0] error: --data_dir=/nowhere" in done.stdout
    assert "error: worker" in done.stderr and "Traceback" not in done.stdout + done.stderr
