"""Runs that are killed, stopped or poisoned for real (ids of the fault list in the names)."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inception_tf.runtime import checkpoint
from inception_tf.runtime.writers import read_metrics
from tests.pictures import write_image_folder

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
STEP = "inception_tf.training.step:TrainStep.__call__"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp("images"), {"train": 40, "validation": 13})


def _train(images, folder, **spec):
    """Six steps of five an epoch, with a checkpoint at each and a scoring at steps 4 and 6."""
    spec = {"trace": str(folder / "trace"), **spec}
    words = [sys.executable, "-m", "tests.hooked", json.dumps(spec), "train", "--preset=tiny",
             "--dataset=folder", f"--data_dir={images}", f"--model_dir={folder / 'run'}",
             "--epochs=9", "--max_steps=6", "--log_every_steps=1", "--checkpoint_every_epochs=0.2",
             "--eval_every_epochs=0.8"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=200)


def _digest_and_trace(folder):
    arrays, _ = checkpoint.load_newest(folder / "run" / "checkpoints", print)
    trace = [json.loads(line) for line in (folder / "trace").read_text().splitlines()]
    return arrays, trace


def _assert_equal_to_whole(folder, whole):
    (ours, trace), (theirs, whole_trace) = _digest_and_trace(folder), _digest_and_trace(whole)
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    assert {line["step"]: line for line in trace} == {line["step"]: line for line in whole_trace}
    for split in ("train", "validation"):
        steps = [[row["step"] for row in read_metrics(f / "run" / split / "metrics.csv")]
                 for f in (folder, whole)]
        assert steps[0] == steps[1]


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    done = _train(images, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_f01_run_killed_in_the_middle_of_an_epoch_ends_with_the_same_bits(images, whole, tmp_path):
    assert _train(images, tmp_path, kill=[STEP, 4, signal.SIGKILL]).returncode == -signal.SIGKILL
    assert _train(images, tmp_path).returncode == 0
    _assert_equal_to_whole(tmp_path, whole)


@pytest.mark.parametrize("where, call, step", [
    (STEP, 3, 4),  # noted during step 3, told to all workers with step 4
    ("inception_tf.evaluation.accuracy:Scorer.score", 1, 4),
])
def test_f18_sigterm_saves_the_last_step_and_leaves_with_143(images, whole, tmp_path, where, call,
                                                            step):
    done = _train(images, tmp_path, kill=[where, call, signal.SIGTERM])
    assert done.returncode == 143, done.stderr
    assert "stopped by SIGTERM" in done.stderr and "Traceback" not in done.stderr
    assert checkpoint.steps(tmp_path / "run" / "checkpoints")[-1] == step
    assert not (tmp_path / "run" / "LOCK").exists()
    assert _train(images, tmp_path).returncode == 0
    _assert_equal_to_whole(tmp_path, whole)


def test_f30_nan_in_an_image_ends_with_5_and_nothing_of_the_step_is_kept(images, whole, tmp_path):
    done = _train(images, tmp_path, poison=3)
    assert done.returncode == 5, done.stderr
    assert "not finite at step 3" in done.stderr and "Traceback" not in done.stderr
    folder = tmp_path / "run" / "checkpoints"
    assert checkpoint.steps(folder)[-1] == 3
    assert _train(images, tmp_path).returncode == 0
    _assert_equal_to_whole(tmp_path, whole)
