"""Scorings that are killed or stopped for real, and scorings by two workers."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from inception_tf.commands.launch import free_ports
from inception_tf.evaluation.predictions_file import open_predictions
from inception_tf.runtime.cluster import Cluster
from tests.fault.runs import ROOT, WITHIN_SECONDS, finish_all, signalled_at
from tests.pictures import write_image_folder
from tests.runs import write_run

pytestmark = pytest.mark.faults
NUM = 13
APPEND = "inception_tf.evaluation.predictions_file:PredictionsWriter.append"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    images = write_image_folder(root / "images", {"train": 6, "validation": NUM}, num_classes=6)
    return write_run(root / "run", [f"class_{k}" for k in range(6)], dataset="folder",
                     data_dir=str(images))


def _start(run, folder, num_workers=1, hooks=None):
    """The processes of `eval --protocol=144`; `hooks`: worker -> its tests/hooked.py spec."""
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(num_workers))
    processes = []
    for index in range(num_workers):
        words = [sys.executable, "-m", "tests.hooked", json.dumps((hooks or {}).get(index, {})),
                 "eval", f"--model_dir={run}", "--protocol=144", "--batch_size=96",
                 f"--predictions={folder}/p.{index}", f"--output={folder}/result.{index}.json"]
        environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
        if num_workers > 1:
            environment["TF_CONFIG"] = Cluster(addresses, index).tf_config()
        processes.append(subprocess.Popen(words, cwd=ROOT, env=environment, text=True,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    return processes


def _rows(path):
    """Bytes of a predictions file behind its header, which holds the command."""
    return path.read_bytes().partition(b"\n")[2]


def _numbers(path):
    (row,) = json.loads(path.read_text())["rows"]
    return {k: v for k, v in row.items() if k != "images_per_second"}


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    codes, outputs = finish_all(_start(run, folder))
    assert codes == [0], outputs
    return folder


@pytest.mark.parametrize("number, code", [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_scoring_ended_by_a_signal_goes_on_to_the_same_result(run, whole, tmp_path, number, code):
    codes, outputs = finish_all(_start(run, tmp_path, hooks={0: {"kill": [APPEND, 5, number]}}))
    assert codes == [code] and time.time() - signalled_at(outputs[0]) < WITHIN_SECONDS, outputs
    assert 0 < len(_rows(tmp_path / "p.0")) < len(_rows(whole / "p.0"))
    assert not (tmp_path / "result.0.json").exists()
    codes, outputs = finish_all(_start(run, tmp_path))
    assert codes == [0] and f"of {NUM} images" in outputs[0], outputs
    assert _rows(tmp_path / "p.0") == _rows(whole / "p.0")
    assert _numbers(tmp_path / "result.0.json") == _numbers(whole / "result.0.json")


def test_f28_two_workers_count_every_image_once_and_only_the_first_writes(run, whole, tmp_path):
    codes, outputs = finish_all(_start(run, tmp_path, num_workers=2))
    assert codes == [0, 0], outputs
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "p.0", "result.0.classes.csv", "result.0.confusion.csv", "result.0.json"]
    assert _numbers(tmp_path / "result.0.json")["num_examples"] == NUM
    ours, theirs = open_predictions(tmp_path / "p.0"), open_predictions(whole / "p.0")
    assert ours.example_ids == theirs.example_ids and (ours.labels == theirs.labels).all()
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=1e-5)


def test_signal_to_the_chief_stops_both_workers_and_their_run_goes_on(run, whole, tmp_path):
    hooks = {0: {"kill": [APPEND, 2, signal.SIGTERM]}}
    codes, outputs = finish_all(_start(run, tmp_path, num_workers=2, hooks=hooks))
    assert codes == [143, 143] and time.time() - signalled_at(outputs[0]) < WITHIN_SECONDS, outputs
    codes, outputs = finish_all(_start(run, tmp_path, num_workers=2))
    assert codes == [0, 0], outputs
    assert open_predictions(tmp_path / "p.0").example_ids == \
        open_predictions(whole / "p.0").example_ids
