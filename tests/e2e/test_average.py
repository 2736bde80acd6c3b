"""Averaged checkpoints and batch statistics measured again, against independent computations."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from inception_tf.commands.average import main
from inception_tf.commands.shell import exit_code_of
from inception_tf.config import preset
from inception_tf.data.batches import training_batches
from inception_tf.data.open import open_source
from inception_tf.errors import UsageError
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import CHECKPOINTS
from inception_tf.runs.network import load_model
from inception_tf.training.loop import train
from tests.pictures import write_image_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    images = tmp_path_factory.mktemp("images")
    write_image_folder(images, {"train": 64, "validation": 13})
    folder = tmp_path_factory.mktemp("run")
    train(preset("tiny").replace(
        dataset="folder", data_dir=str(images), model_dir=str(folder), max_steps=3, epochs=9.0,
        checkpoint_every_epochs=0.125, eval_every_epochs=0))
    return folder


def test_average_of_three_is_their_mean_and_scores_like_a_run(run, tmp_path, capsys, caplog):
    assert exit_code_of(main, [f"--model_dir={run}", "--last=3",
                               f"--output_dir={tmp_path / 'out'}"]) == 0
    assert "checkpoints of steps 1, 2, 3" in capsys.readouterr().out
    arrays, manifest = checkpoint.load(tmp_path / "out" / CHECKPOINTS, 3)
    parts = [checkpoint.load(run / CHECKPOINTS, step)[0] for step in (1, 2, 3)]
    assert {name.partition("/")[0] for name in arrays} == {"weights", "ema"}
    for name, value in arrays.items():
        mean = np.mean([p[name].astype(np.float64) for p in parts], axis=0)
        np.testing.assert_allclose(value, mean, rtol=1e-6, atol=1e-9, err_msg=name)
    assert [row["step"] for row in manifest["origin"]["averaged"]] == [1, 2, 3]
    model, config, _ = load_model(tmp_path / "out")
    assert not [r for r in caplog.records if r.levelname == "WARNING"]
    assert config.runtime.model_dir == str(tmp_path / "out") and model.output_shape == (None, 5)


def test_recalibrated_statistics_are_those_of_the_images(run, tmp_path, caplog):
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    assert exit_code_of(main, [f"--model_dir={run}", "--recalibrate_images=64",
                               f"--output_dir={tmp_path / 'out'}"]) == 0
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    model, config, _ = load_model(tmp_path / "out", "raw")
    assert not [r for r in caplog.records if r.levelname == "WARNING"]
    found = {v.path: v.numpy() for v in model.weights}
    # The first convolution sees the images alone: its statistics follow from them directly.
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    source = open_source(config.data, "train")
    stream = training_batches(source, config.data, seed=config.runtime.seed, batch_size=32,
                              image_size=75, num_classes=5)
    outputs = [np.asarray(first(next(stream)["image"]), np.float64) for _ in range(2)]
    stream.close()
    for kind, of in (("moving_mean", np.mean), ("moving_variance", np.var)):
        expected = of(np.concatenate(outputs), axis=(0, 1, 2))
        np.testing.assert_allclose(found[f"{first.name}_bn/{kind}"], expected, rtol=1e-4,
                                   atol=1e-6)
    old, _ = checkpoint.load(run / CHECKPOINTS, 3)
    new, _ = checkpoint.load(tmp_path / "out" / CHECKPOINTS, 3)
    assert all(np.array_equal(new[n], old[n]) for n in new if "/moving_" not in n)
    assert not np.array_equal(new["ema/logits/kernel"], new["weights/logits/kernel"])


def test_checkpoints_of_different_networks_are_not_averaged(run, tmp_path, capsys):
    arrays, manifest = checkpoint.load(run / CHECKPOINTS, 3)
    text = json.dumps({**json.loads(manifest["config"]), "network": {
        **json.loads(manifest["config"])["network"], "residual_scales": [0.5, 0.5, 0.5]}})
    for step, config in ((1, manifest["config"]), (2, text)):
        checkpoint.save(tmp_path / CHECKPOINTS, step, arrays, {
            "config": config, "class_names": manifest["class_names"], "data": manifest["data"]})
    (tmp_path / "config.json").write_text(manifest["config"])
    assert exit_code_of(main, [f"--model_dir={tmp_path}", "--last=2",
                               f"--output_dir={tmp_path / 'out'}"]) == 2
    assert "another network" in capsys.readouterr().err


def test_training_does_not_go_on_from_an_average(run, tmp_path):
    assert exit_code_of(main, [f"--model_dir={run}", "--last=2",
                               f"--output_dir={tmp_path / 'out'}"]) == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    from inception_tf.config import Config
    with pytest.raises(UsageError, match="which cannot be resumed"):
        train(Config.from_json(json.dumps(config)).replace(max_steps=9))


@pytest.mark.parametrize("flags, message", [
    (["--last=4", "--output_dir=OUT"], "--last=4"),
    (["--recalibrate_images=128", "--output_dir=OUT"], "not a multiple of 32 up to the 64 images"),
    (["--last=-1", "--recalibrate_images=32", "--output_dir=OUT"], "--last=-1 is below 1"),
    (["--last=1", "--output_dir=OUT"], "nothing to do"),
    (["--last=2", "--output_dir=RUN"], "exists already"),
    (["--recalibrate_images=65", "--output_dir=OUT"], "not a multiple of 32 up to the 64 images"),
])
def test_mistake_is_one_line_and_writes_nothing(run, tmp_path, capsys, flags, message):
    words = [w.replace("OUT", str(tmp_path / "out")).replace("RUN", str(run)) for w in flags]
    assert exit_code_of(main, [f"--model_dir={run}", *words]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert message in error
    assert not Path(tmp_path / "out").exists()
