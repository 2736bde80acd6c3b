"""The main job on real input: ImageNet's tars through TFDS' own builder, full-width networks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.imagenet_miniature import NUM_SYNSETS, write_archives

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tars(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tars")
    write_archives(folder)
    return folder


def _run(*words):
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True,
                          timeout=600)
    assert done.returncode == 0, done.stderr
    return done


def test_one_command_prepares_imagenet_trains_full_inception_v4_at_299_and_scores(tars, tmp_path):
    where = [f"--manual_dir={tars}", f"--data_dir={tmp_path / 'tfds'}"]
    model_dir = f"--model_dir={tmp_path / 'run'}"
    trained = _run("train.py", "--preset=paper", "--dataset=imagenet2012", *where, model_dir,
                   "--global_batch=4", "--replica_batch=2", "--max_steps=3", "--log_every_steps=1")
    for part in ("inception_v4 width 1 at 299x299, 1000 classes", "100 images per epoch",
                 "4 = 2 passes x 1 replicas x 2", "step 3/3", "validation on 20 images"):
        assert part in trained.stderr
    scored = _run("eval.py", model_dir, f"--output={tmp_path / 'score.json'}", "--batch_size=8")
    result = json.loads((tmp_path / "score.json").read_text())
    assert result["rows"][0]["num_examples"] == NUM_SYNSETS
    assert result["dataset"] == "imagenet2012" and result["members"][0]["about"]["step"] == 3
    # The full network at 299 on ImageNet's validation split: the paper's figures beside ours.
    assert "inception_v4" in scored.stdout and "20.0 %" in scored.stdout
