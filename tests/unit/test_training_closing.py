"""The last words of a run, and the command that resumes one that was stopped."""

import shutil
import sys
import types

import pytest

from inception_tf.config import preset
from inception_tf.runs.metrics import METRICS, MetricsWriter
from inception_tf.training import closing
from tests.runs import write_run

INSTALLED = "/env/bin/inception-tf"


@pytest.fixture
def started(monkeypatch):
    """A function that makes this process one that was started with these words."""
    def start(*words, script):
        monkeypatch.setattr(sys, "orig_argv", list(words))
        monkeypatch.setattr(sys, "argv", [script, *words[words.index("--preset=tiny"):]])
        monkeypatch.setattr(shutil, "which", lambda name: INSTALLED)
    return start


def scored(folder, errors):
    """A plan of 20 steps in `folder`, with these top-1 errors at epochs 1, 2 and on."""
    writer = MetricsWriter(folder / "validation")
    for epoch, error in enumerate(errors, start=1):
        writer.write(10 * epoch, {**dict.fromkeys(METRICS["validation"], 0.0),
                                  "epoch": epoch, "ema_top1_error": error})
    writer.close()
    config = preset("tiny").replace(model_dir=str(folder))
    return types.SimpleNamespace(config=config, total=20)


def test_run_that_is_done_says_time_scores_place_and_next_command(tmp_path, started):
    started("python", "train.py", "--preset=tiny", script="train.py")
    folder = tmp_path / "my run"
    plan = scored(folder, [0.25, 0.3])
    assert closing.closing_lines(plan, 4, 245.0).splitlines() == [
        f"done: steps 5 to 20 in 4m05s; top-1 error 30.00 % at epoch 2, best 25.00 % at epoch 1; "
        f"all of it is in {folder}",
        f"next: python -m inception_tf eval --model_dir='{folder}'",
        f"      python -m inception_tf predict PICTURE.jpg --model='{folder}'"]


def test_run_without_a_step_left_has_nothing_to_do(tmp_path, started):
    started("python", INSTALLED, "train", "--preset=tiny", script=INSTALLED)
    first, then, _ = closing.closing_lines(scored(tmp_path, [0.3, 0.25]), 20, 3.0).splitlines()
    assert first == (f"nothing to do: step 20 of 20 is done; top-1 error 25.00 % at epoch 2; "
                     f"all of it is in {tmp_path}")
    assert then == f"next: inception-tf eval --model_dir={tmp_path}"


@pytest.mark.parametrize("words, script, command", [
    (["python", "train.py", "--preset=tiny", "--model_dir=a b"], "train.py",
     ": python train.py --preset=tiny '--model_dir=a b'"),
    (["python", "-m", "inception_tf", "train", "--preset=tiny"], "/x/inception_tf/__main__.py",
     ": python -m inception_tf train --preset=tiny"),
    (["/env/bin/python", INSTALLED, "--preset=tiny"], INSTALLED, ": inception-tf --preset=tiny"),
    (["/env/bin/python", "/b/inception-tf", "--preset=tiny"], "/b/inception-tf",
     ": /b/inception-tf --preset=tiny"),
    (["python", "mine.py", "--preset=tiny"], "mine.py", ""),
])
def test_run_that_was_stopped_says_the_command_that_resumes_it(tmp_path, started, words, script,
                                                               command, monkeypatch):
    started(*words, script=script)
    runtime = preset("tiny").replace(model_dir=str(tmp_path)).runtime
    assert closing.what_stands(runtime) == "nothing was saved yet"
    write_run(tmp_path, ["ant", "bee"])
    assert closing.what_stands(runtime) == ("saved after step 1, the same command resumes"
                                            + command)
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, '
                                    '"task": {"type": "worker", "index": 1}}')
    assert closing.what_stands(runtime) == "saved after step 1, the same command resumes"
