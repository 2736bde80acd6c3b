"""The commands as a user starts them, on folders of small images."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from inception_tf.config import Config, preset
from inception_tf.errors import CheckpointError, UsageError
from inception_tf.evaluation.request import ScoringRequest
from inception_tf.evaluation.scoring import score_networks
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import CHECKPOINTS
from inception_tf.runs.metrics import read_metrics
from inception_tf.runs.network import build_network, load_model
from inception_tf.training.loop import train
from tests.pictures import write_image_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return write_image_folder(folder, {"train": 40, "validation": 13})


@pytest.fixture(scope="module")
def config(images):
    return preset("tiny").replace(
        dataset="folder", data_dir=str(images), max_steps=6, epochs=9.0, log_every_steps=1,
        eval_every_epochs=0.8, checkpoint_every_epochs=0.6)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """A run of six steps that nothing interrupted."""
    config = config.replace(model_dir=str(tmp_path_factory.mktemp("whole")))
    return config, train(config)


def _newest(model_dir):
    return checkpoint.load_newest(Path(model_dir) / CHECKPOINTS, print)


def _assert_same_arrays(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_train_writes_config_checkpoints_metrics_and_curves(whole):
    config, scores = whole
    folder = Path(config.runtime.model_dir)
    assert Config.from_json((folder / "config.json").read_text()) == config
    assert checkpoint.steps(folder / CHECKPOINTS) == [3, 6]
    assert [row["step"] for row in read_metrics(folder / "train/metrics.csv")] == [1, 2, 3, 4, 5, 6]
    rows = read_metrics(folder / "validation/metrics.csv")
    assert [row["step"] for row in rows] == [4, 6]
    assert rows[-1]["num_examples"] == 13
    assert rows[-1]["ema_top1_error"] == pytest.approx(scores["ema_top1_error"])
    assert list((folder / "train").glob("events.*")) and list((folder / "validation").glob("ev*"))
    assert (folder / "curves.png").stat().st_size > 10_000


def test_tensorboard_has_the_first_batch_the_settings_and_the_networks_size(whole):
    config, _ = whole
    events = [value for path in Path(config.runtime.model_dir, "train").glob("events.*")
              for event in tf.compat.v1.train.summary_iterator(str(path))
              for value in event.summary.value]
    shown = {value.tag: list(value.tensor.string_val) for value in events}
    assert len(shown["first batch"]) == 2 + 8  # width and height come first
    assert config.to_json() in shown["config"][0].decode()
    size = shown["network"][0].decode()
    model = build_network(config.network, 5)
    assert f"{model.count_params():,} parameters" in size and "multiply-adds" in size


def test_resume_in_the_middle_of_an_epoch_ends_with_the_same_bits(whole, config, tmp_path):
    broken = config.replace(model_dir=str(tmp_path))
    train(broken.replace(max_steps=3))
    train(broken)
    reference = whole[0].runtime.model_dir
    _assert_same_arrays(_newest(tmp_path)[0], _newest(reference)[0])
    ours, theirs = (read_metrics(Path(d) / "train/metrics.csv") for d in (tmp_path, reference))
    for a, b in zip(ours, theirs, strict=True):
        a.pop("images_per_second"), b.pop("images_per_second")
        assert a == b


def test_bad_examples_are_counted_over_the_whole_run(config, tmp_path):
    images = tmp_path / "images"
    write_image_folder(images, {"train": 31, "validation": 3})
    (images / "train" / "class_0" / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    config = config.replace(model_dir=str(tmp_path / "run"), data_dir=str(images),
                            max_bad_examples=1, eval_every_epochs=0)
    train(config.replace(max_steps=4))  # one epoch
    train(config.replace(max_steps=5))
    rows = read_metrics(tmp_path / "run" / "train" / "metrics.csv")
    assert [row["bad_examples"] for row in rows[3:]] == [1, 1]


def test_finished_run_started_again_only_scores(whole):
    config, scores = whole
    before = _newest(config.runtime.model_dir)[0]
    assert train(config) == scores
    _assert_same_arrays(_newest(config.runtime.model_dir)[0], before)


def test_eval_of_the_folder_equals_the_score_at_the_end_of_training(whole):
    config, scores = whole
    for weights in ("ema", "raw"):
        request = ScoringRequest((config.runtime.model_dir,), weights=weights, batch_size=4)
        (row,) = score_networks(request)["rows"]
        assert row["num_examples"] == 13
        for rate in ("top1_error", "top5_error", "cross_entropy"):
            assert row[rate] == pytest.approx(scores[f"{weights}_{rate}"], rel=1e-5)


def test_load_model_gives_the_averaged_network_without_its_auxiliary_head(whole):
    model, config, manifest = load_model(whole[0].runtime.model_dir)
    assert model.output_shape == (None, 5)
    assert config == whole[0]
    assert manifest["class_names"] == [f"class_{k}" for k in range(5)]


@pytest.mark.parametrize("change, message", [
    ({"net": "inception_v4"}, "--net=inception_resnet_v1, now inception_v4"),
    ({"global_batch": 16, "replica_batch": 16}, "--global_batch=8, now 16"),
    ({"seed": 1}, "--seed=0, now 1"),
])
def test_f06_resume_with_another_config_is_refused_and_touches_nothing(whole, change, message):
    config, _ = whole
    folder = Path(config.runtime.model_dir)
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match=message):
        train(config.replace(**change))
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_f06_resume_with_another_log_interval_is_accepted(whole):
    config, scores = whole
    assert train(config.replace(log_every_steps=3)) == scores
    train(config)


def test_score_of_data_with_other_classes_is_refused(whole, tmp_path):
    write_image_folder(tmp_path, {"train": 6, "validation": 6}, num_classes=3)
    request = ScoringRequest((whole[0].runtime.model_dir,), given={"data_dir": str(tmp_path)})
    with pytest.raises(UsageError, match="has 5 classes, --dataset=folder has 3"):
        score_networks(request)


def test_folder_with_only_broken_checkpoints_is_never_started_over(config, tmp_path):
    broken = config.replace(model_dir=str(tmp_path), max_steps=1)
    folder = tmp_path / CHECKPOINTS / "step_000000001"
    folder.mkdir(parents=True)
    (tmp_path / "config.json").write_text(broken.to_json())
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints"):
        train(broken)


def test_mirrored_training_stays_within_tolerance_of_one_device(config, tmp_path):
    settings = {"batch_norm": "frozen", "dropout": 0.0}
    runs = {}
    for kind in ("one", "mirrored"):
        run = config.replace(strategy=kind, model_dir=str(tmp_path / kind), **settings)
        assert train(run)["num_examples"] == 13
        runs[kind] = _newest(run.runtime.model_dir)[0]
    for name, value in runs["one"].items():
        np.testing.assert_allclose(runs["mirrored"][name], value, rtol=1e-3, atol=1e-5,
                                   err_msg=name)


def _run(*words, cwd=ROOT):
    return subprocess.run([sys.executable, *words], cwd=cwd, capture_output=True, text=True,
                          timeout=300)


def test_train_and_eval_scripts_print_what_a_user_needs(config, images, tmp_path):
    flags = [f"--data_dir={images}", "--dataset=folder", f"--model_dir={tmp_path / 'run'}"]
    done = _run("train.py", "--preset=tiny", "--max_steps=2", "--log_every_steps=1", *flags)
    assert done.returncode == 0, done.stderr
    for part in ("preset         tiny", "inception_resnet_v1", "40 images per epoch", "step 2/2",
                 "images/s", "ETA", "validation on 13 images", f"data lies in   {images}",
                 "devices        CPU, "):
        assert part in done.stderr
    done, following, _ = done.stderr.splitlines()[-3:]
    assert re.fullmatch(r"done: steps 1 to 2 in [\dms]+; top-1 error [\d.]+ % at epoch 0.4; all "
                        rf"of it is in {tmp_path}/run", done)
    assert following.endswith(f" -m inception_tf eval --model_dir={tmp_path}/run")
    scored = _run("eval.py", f"--model_dir={tmp_path / 'run'}", f"--output={tmp_path}/s.json")
    assert scored.returncode == 0, scored.stderr
    (row,) = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert f"{100 * row['top1_error']:.2f} %" in scored.stdout
    found, what = scored.stderr.splitlines()
    assert found.endswith("validation: 13 images in 5 classes (2 to 3 each, median 3)")
    assert what.startswith(f"scoring {tmp_path / 'run'} (step 2) on 13 images of folder "
                           f"(validation) in {images}; devices: CPU, ")


@pytest.mark.parametrize("words, message", [
    (["train.py", "--net=vgg"], "--net=vgg"),
    (["train.py", "--global_batch=7", "--replica_batch=4"], "--global_batch=7 is not divisible"),
    (["train.py", "--dataset=folder", "--data_dir=/nowhere"], "/nowhere"),
    (["train.py", "--model_dir=train.py"], "--model_dir=train.py"),
    (["eval.py", "--model_dir=docs"], "no config.json"),
    (["-m", "inception_tf", "trian"], "unknown command 'trian'"),
    (["-m", "inception_tf", "convert", "--input=none", "--output=x.keras"], "error: --input"),
])
def test_mistake_ends_with_one_line_and_exit_code_2(words, message):
    done = _run(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
