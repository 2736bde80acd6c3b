"""Real workers on loopback: the same numbers as one process, and files of one writer."""

import re
import subprocess
import sys

import numpy as np
import pytest

from inception_tf.runs.metrics import read_metrics
from tests.fault.runs import ROOT, finish_all, newest, start, start_workers, trace
from tests.pictures import write_image_folder

pytestmark = pytest.mark.faults
# Nothing that depends on the number of replicas: batch norm frozen, no dropout.
FLAGS = ["--preset=tiny", "--dataset=folder", "--global_batch=12", "--replica_batch=12",
         "--batch_norm=frozen", "--dropout=0", "--learning_rate=0.01", "--epochs=99",
         "--log_every_steps=1", "--eval_every_epochs=0", "--checkpoint_every_epochs=0"]
NUM_HELD_OUT = 43


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return write_image_folder(folder, {"train": 40, "validation": NUM_HELD_OUT})


def _run(images, folder, num_workers, *flags):
    """Trains with the tiny network itself, one process or several workers; asserts they end."""
    folder.mkdir(exist_ok=True)
    if num_workers == 1:
        processes = [start(images, folder, *FLAGS, *flags, small=False, trace="trace.0")]
    else:
        processes, _ = start_workers(images, folder, num_workers, *FLAGS, *flags,
                                     spec={i: {"small": False} for i in range(num_workers)})
    codes, printed = finish_all(processes, 240)
    assert codes == [0] * num_workers, printed


def _arrays(folder):
    return newest(folder)[0]


def _indices(folder, num_workers):
    """Per step, the record indices of all workers in order."""
    traces = [trace(folder, f"trace.{i}") for i in range(num_workers)]
    return [sum((t[step]["indices"] for t in traces), []) for step in sorted(traces[0])]


@pytest.fixture(scope="module")
def alone(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    _run(images, folder, 1, "--max_steps=20")
    return folder


@pytest.fixture(scope="module")
def first(images, tmp_path_factory):
    """The same run after its first step."""
    folder = tmp_path_factory.mktemp("first")
    _run(images, folder, 1, "--max_steps=1")
    return folder


def _written(folder):
    """What a run left behind; the names of event files hold a time and a process."""
    names = (str(p.relative_to(folder / "run")) for p in (folder / "run").rglob("*") if p.is_file())
    return sorted(re.sub(r"events\..*", "events", name) for name in names)


def _assert_paths_agree(ours, theirs, start):
    """Both went the same way from `start`: apart by under 0.1 % of the way, for every array."""
    assert ours.keys() == theirs.keys()
    for name in theirs:
        way = np.linalg.norm(theirs[name] - start[name])
        apart = np.linalg.norm(ours[name] - theirs[name])
        assert apart <= 0.001 * way + 1e-6, f"{name}: {apart:.3g} apart after a way of {way:.3g}"


@pytest.fixture(scope="module", params=[
    (2, []), (3, []), (2, ["--replica_batch=3", "--steps_per_call=4"])], ids=str)
def group(request, images, tmp_path_factory):
    """(folder, number of workers, whether they accumulate) of the same run by a group."""
    num_workers, flags = request.param
    folder = tmp_path_factory.mktemp("group")
    _run(images, folder, num_workers, "--max_steps=20", *flags)
    return folder, num_workers, bool(flags)


def test_workers_after_20_steps_equal_one_process(alone, first, group):
    folder, num_workers, accumulated = group
    # Passes of an accumulated batch go round all workers, so within a step the order differs.
    order = sorted if accumulated else list
    assert [order(step) for step in _indices(folder, num_workers)] == [
        order(step) for step in _indices(alone, 1)]
    _assert_paths_agree(_arrays(folder), _arrays(alone), _arrays(first))
    rows, expected = (read_metrics(f / "run/validation/metrics.csv") for f in (folder, alone))
    assert rows[-1]["num_examples"] == NUM_HELD_OUT
    assert rows[-1]["ema_top1_error"] == expected[-1]["ema_top1_error"]


def test_f29_workers_leave_only_the_files_of_one_writer(alone, group):
    assert _written(group[0]) == _written(alone)


def test_launch_prefixes_lines_and_ends_all_when_one_fails(images, tmp_path):
    words = [sys.executable, "-m", "inception_tf", "launch", "--num_workers=2", "--", "train",
             *FLAGS, "--data_dir=/nowhere", f"--model_dir={tmp_path}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "[worker 0] error: --data_dir=/nowhere" in done.stdout
    assert "error: worker" in done.stderr and "Traceback" not in done.stdout + done.stderr
