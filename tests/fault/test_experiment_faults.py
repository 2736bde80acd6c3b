"""A grid of training runs that is stopped, and resumes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.fault.runs import ROOT, finish

pytestmark = pytest.mark.faults


def start_grid(images, folder):
    """The process of a small grid of four runs on `images`; results in FOLDER."""
    words = [sys.executable, "-m", "experiments.residual_speedup", "--quick", f"--folder={folder}",
             "--dataset=folder", f"--data_dir={images}", "--train_split=train",
             "--eval_split=validation"]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    return subprocess.Popen(words, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)


def results(folder):
    path = folder / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def trainings_of(folder):
    """Processes that train in `folder`."""
    found = subprocess.run(["pgrep", "-f", f"model_dir={folder}"], capture_output=True, text=True)
    return found.stdout.split()


def test_a_grid_that_is_stopped_ends_its_runs_and_does_no_finished_run_again(images, tmp_path):
    grid = start_grid(images, tmp_path)
    deadline = time.monotonic() + 200
    while not results(tmp_path) and grid.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert trainings_of(tmp_path)
    grid.send_signal(signal.SIGTERM)
    code, printed = finish(grid, 60)
    assert code == 143, printed
    assert not trainings_of(tmp_path)
    before = results(tmp_path)
    assert 1 <= len(before) < 4
    code, printed = finish(start_grid(images, tmp_path), 300)
    assert code == 0, printed
    after = results(tmp_path)
    assert after[:len(before)] == before and len(after) == 4
    assert f"of {4 - len(before)}  " in printed
    assert all(row["validation"][-1]["epoch"] == 2.0 for row in after)
