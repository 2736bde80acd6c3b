"""`--checkpoint` of every command that reads a run's folder, and `--init_checkpoint`."""

import json
from pathlib import Path

import numpy as np
import pytest

from inception_tf.commands import average, export, predict
from inception_tf.commands import eval as evaluate
from inception_tf.commands import train as training
from inception_tf.commands.shell import exit_code_of
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import CHECKPOINTS
from tests.pictures import write_image_folder
from tests.runs import write_run

CLASSES = ["class_0", "class_1", "class_2"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp("images"), {"train": 9, "validation": 3},
                              num_classes=3)


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    """Steps 1 to 3, whose networks are sure of class 0, 1, 2; step 2 has the lowest error."""
    folder = write_run(tmp_path_factory.mktemp("run"), CLASSES, dataset="folder",
                       data_dir=str(images))
    arrays, manifest = checkpoint.load(folder / CHECKPOINTS, 1)
    facts = {k: v for k, v in manifest.items() if k not in ("format", "step", "files", "sha256")}
    checkpoint.remove(checkpoint.folder_of(folder / CHECKPOINTS, 1))
    for step, error in ((1, 0.5), (2, 0.1), (3, 0.4)):
        sure = {name: 100 * np.eye(3, dtype=np.float32)[step - 1] if name.endswith("logits/bias")
                else array for name, array in arrays.items()}
        checkpoint.save(folder / CHECKPOINTS, step, sure, {**facts,
                                                            "scores": {"ema_top1_error": error}})
    return folder


CHOICES = pytest.mark.parametrize("flag, step", [
    ([], 3), (["--checkpoint=newest"], 3), (["--checkpoint=best"], 2), (["--checkpoint=1"], 1)])


@CHOICES
def test_predict_answers_with_the_checkpoint_that_is_meant(run, images, tmp_path, flag, step):
    out = tmp_path / "out.jsonl"
    words = [str(images / "validation"), f"--model={run}", f"--output={out}", *flag]
    assert exit_code_of(predict.main, words) == 0
    best = {json.loads(line)["top"][0]["class"] for line in out.read_text().splitlines()}
    assert best == {step - 1}


@CHOICES
def test_eval_scores_the_checkpoint_that_is_meant(run, tmp_path, flag, step):
    out = tmp_path / "out.json"
    assert exit_code_of(evaluate.main, [f"--model_dir={run}", f"--output={out}", *flag]) == 0
    assert json.loads(out.read_text())["members"][0]["about"]["step"] == step


def test_export_writes_the_checkpoint_that_is_meant(run, tmp_path):
    words = [f"--model_dir={run}", f"--export_dir={tmp_path / '1'}", "--format=keras",
             "--check_images=0", "--checkpoint=best"]
    assert exit_code_of(export.main, words) == 0
    assert json.loads((tmp_path / "1" / "manifest.json").read_text())["origin"]["step"] == 2


@pytest.mark.parametrize("flag, steps", [([], [2, 3]), (["--checkpoint=best"], [1, 2])])
def test_average_ends_with_the_checkpoint_that_is_meant(run, tmp_path, capsys, flag, steps):
    words = [f"--model_dir={run}", f"--output_dir={tmp_path / 'mean'}", "--last=2", *flag]
    assert exit_code_of(average.main, words) == 0
    assert f"checkpoints of steps {steps[0]}, {steps[1]}" in capsys.readouterr().out


def test_training_starts_from_the_checkpoint_that_is_meant(run, images, tmp_path):
    words = ["--preset=tiny", "--dataset=folder", f"--data_dir={images}", f"--init_from={run}",
             "--init_checkpoint=best", f"--model_dir={tmp_path / 'tuned'}", "--max_steps=1",
             "--learning_rate=0", "--global_batch=3", "--replica_batch=3"]
    assert exit_code_of(training.main, words) == 0
    arrays, _ = checkpoint.load(tmp_path / "tuned" / CHECKPOINTS, 1)
    np.testing.assert_array_equal(arrays["weights/logits/bias"], [0, 100, 0])


@pytest.mark.parametrize("main, words, message", [
    (predict.main, ["{images}", "--model={run}", "--checkpoint=7"], "no checkpoint of that step"),
    (predict.main, ["{images}", "--model={file}", "--checkpoint=newest"], "has no use: --model="),
    (evaluate.main, ["--model_dir={run}", "--checkpoint=last"], "neither newest, best nor a step"),
    (evaluate.main, ["--model_dir={run}", "--watch", "--checkpoint=best"], "has no use"),
    (evaluate.main, ["--from_predictions={file}", "--checkpoint=best"], "has no use"),
    (average.main, ["--model_dir={run}", "--last=3", "--checkpoint=2", "--output_dir={file}-mean"],
     "has 2 checkpoints up to step 2"),
    (training.main, ["--init_checkpoint=best"], "has no use without --init_from"),
    (training.main, ["--init_checkpoint=best", "--init_from={file}"], "is one file"),
    (training.main, ["--init_checkpoint=7", "--init_from={run}"],
     "--init_checkpoint=7: {run} has no checkpoint of that step; there: 1, 2, 3"),
])
def test_choice_that_cannot_be_is_one_line(run, images, tmp_path, monkeypatch, capsys, main, words,
                                           message):
    monkeypatch.chdir(tmp_path)
    places = {"run": run, "images": images, "file": tmp_path / "a.keras"}
    Path(places["file"]).write_bytes(b"")
    assert exit_code_of(main, [word.format(**places) for word in words]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 1 and message.format(**places) in errors[0]
