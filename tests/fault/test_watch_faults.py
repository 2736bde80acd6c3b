"""A training in one process and the watch that scores its checkpoints in another; watches stopped.

Also a scoring that hangs.
"""

import json
import os
import signal
import subprocess
import sys

import pytest

from inception_tf.runs.metrics import read_metrics
from tests.fault.runs import ROOT, STEP, finish, start, train, train_to_the_end

pytestmark = pytest.mark.faults


def start_eval(folder, *flags, **spec):
    """The process of an `eval` of FOLDER/run."""
    words = [sys.executable, "-u", "-m", "tests.hooked", json.dumps({"small": True, **spec}),
             "eval", f"--model_dir={folder / 'run'}", *flags]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    return subprocess.Popen(words, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, start_new_session=True)


def rows(folder):
    (path,) = (folder / "run" / "watch").glob("*/scores.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_watch_beside_a_training_scores_its_checkpoints_and_ends_with_it(images, tmp_path):
    # Started before the run's folder is there; each checkpoint is deleted when the next is made.
    watch = start_eval(tmp_path, "--watch")
    training = start(images, tmp_path, "--keep=1", sleep=[STEP, [1, 2, 3, 4, 5, 6], 3.0])
    code, printed = finish(training, 200)
    assert code == 0, printed
    code, printed = finish(watch, 200)
    assert code == 0, printed
    scored = [row["step"] for row in rows(tmp_path)]
    assert scored == sorted(set(scored)) and len(scored) > 1 and scored[-1] == 6
    assert [line.split()[1] for line in printed.splitlines() if line.startswith("step ")] == \
        [str(step) for step in scored]
    (expected,) = (r for r in read_metrics(tmp_path / "run/validation/metrics.csv")
                   if r["step"] == 6)
    for name in ("top1_error", "top5_error"):
        assert rows(tmp_path)[-1][name] == pytest.approx(expected[f"ema_{name}"], rel=1e-6)
    assert rows(tmp_path)[-1]["num_examples"] == 43


@pytest.fixture(scope="module")
def unfinished(images, tmp_path_factory):
    """The folder of a run that was stopped before its fourth step of six."""
    folder = tmp_path_factory.mktemp("unfinished")
    code, printed = train(images, folder, kill=[STEP, 3, signal.SIGTERM])
    assert code == 143, printed
    return folder


# In this order: what the first scored, the second finds on record.
@pytest.mark.parametrize("number, code, scored", [(signal.SIGTERM, 143, 3),
                                                  (signal.SIGINT, 130, 0)])
def test_watch_stopped_while_it_waits_leaves_with_its_code(unfinished, number, code, scored):
    watch = start_eval(unfinished, "--watch")
    printed = []
    for line in watch.stdout:
        printed.append(line)
        if line.startswith("waiting"):
            break
    watch.send_signal(number)
    ended, rest = finish(watch, 60)
    assert ended == code and f"stopped by {number.name}" in rest
    assert sum(line.startswith("step ") for line in printed) == scored
    assert len(rows(unfinished)) == 3


def test_f39_scoring_that_completes_nothing_ends_with_7(images, tmp_path):
    train_to_the_end(images, tmp_path, "--max_steps=1")
    where = "inception_tf.evaluation.predictions_file:PredictionsWriter.append"
    code, printed = finish(start_eval(tmp_path, "--stall_timeout_s=5", sleep=[where, 1, 600.0]))
    assert code == 7 and "nothing completed" in printed and "most recent call first" in printed
