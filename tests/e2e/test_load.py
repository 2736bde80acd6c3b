"""`inception_tf.load` on all that holds a trained network, and `list_models`."""

import io
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import inception_tf
from inception_tf.commands.export import main as export
from inception_tf.commands.predict import main as predict
from inception_tf.commands.shell import exit_code_of
from inception_tf.errors import DataError, UsageError
from inception_tf.networks import NETWORKS
from inception_tf.serving.classifier import open_run
from inception_tf.weights.card import Facts, write_facts
from tests.pictures import write_image_folder
from tests.runs import randomize_statistics, write_run

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"
CLASSES = ("a", "n01440764", "c")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"), CLASSES, prepare=randomize_statistics,
                     background_class=True)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp("pictures"), {"x": 5}, size=120)


@pytest.fixture(scope="module")
def kept(run, tmp_path_factory):
    """Kind -> path of the same network."""
    folder = tmp_path_factory.mktemp("kept")
    for kind in ("keras", "savedmodel"):
        assert exit_code_of(export, [f"--model_dir={run}", f"--export_dir={folder / kind}",
                                     f"--format={kind}", "--check_images=0"]) == 0
    classifier = open_run(run)
    weights = folder / "own.weights.h5"
    classifier.model.save_weights(weights)
    config = inception_tf.Config(classifier.network, classifier.data).replace(aux_head=False)
    write_facts(weights, Facts(config, CLASSES))
    return {"run": run, "keras": folder / "keras", "savedmodel": folder / "savedmodel",
            "file": folder / "keras" / "model.keras", "weights": weights}


@pytest.mark.parametrize("kind", ["run", "keras", "savedmodel", "file", "weights"])
def test_load_answers_as_the_command_whatever_holds_the_network(kept, pictures, tmp_path, kind):
    output = tmp_path / "o.jsonl"
    words = [str(pictures), f"--model={kept['run']}", f"--output={output}", "--top=2"]
    assert exit_code_of(predict, words) == 0
    expected = [json.loads(line) for line in output.read_text().splitlines()]
    loaded = inception_tf.load(kept[kind])
    assert loaded.classes == CLASSES
    answers = loaded.predict(pictures, top=np.int64(2))
    assert [a["image"] for a in answers] == [line["image"] for line in expected]
    for answer, line in zip(answers, expected, strict=True):
        for ours, theirs in zip(answer["top"], line["top"], strict=True):
            assert {**ours, "probability": 0} == {**theirs, "probability": 0}
            assert abs(ours["probability"] - theirs["probability"]) < 1e-4
    if kind == "savedmodel":
        assert loaded.model is None
    else:
        assert isinstance(loaded.model, keras.Model) and loaded.model.output.shape == (None, 4)


def test_model_of_preprocessed_pictures_gives_the_logits_that_predict_ranks(kept, pictures):
    loaded = inception_tf.load(kept["run"])
    paths = sorted(pictures.rglob("*.jpg"))
    logits = loaded.model.predict_on_batch(loaded.preprocess(paths))
    best = logits[:, 1:].argmax(axis=1)
    assert [a["top"][0]["class"] for a in loaded.predict(paths)] == list(best)


def test_preprocess_takes_paths_bytes_and_pixels_alike(kept, pictures):
    loaded = inception_tf.load(kept["savedmodel"])
    path = min(pictures.rglob("*.jpg"))
    lossless = io.BytesIO()
    pixels = np.asarray(Image.open(path).resize((131, 97)))
    Image.fromarray(pixels).save(lossless, "PNG")
    batch = loaded.preprocess([path, str(path), path.read_bytes(), pixels, lossless.getvalue()])
    size = batch.shape[1]
    assert batch.shape == (5, size, size, 3) and batch.dtype == np.float32
    assert -1 <= batch.min() < batch.max() <= 1
    np.testing.assert_array_equal(batch[0], batch[1])
    np.testing.assert_array_equal(batch[0], batch[2])
    np.testing.assert_array_equal(batch[3], batch[4])
    for one in (path, path.read_bytes()):
        np.testing.assert_array_equal(loaded.preprocess(one), batch[:1])
    np.testing.assert_array_equal(loaded.preprocess(pixels), batch[3:4])
    assert loaded.preprocess([]).shape == (0, size, size, 3)


def test_what_is_no_picture_is_named(kept, pictures, tmp_path):
    loaded = inception_tf.load(kept["run"])
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match=r"empty\.png: empty"):
        loaded.preprocess([tmp_path / "empty.png"])
    with pytest.raises(DataError, match="nowhere.jpg: No such file"):
        loaded.preprocess("nowhere.jpg")
    with pytest.raises(DataError, match="picture 0: "):
        loaded.preprocess([b"\xff\xd8"])
    for wrong, words in ((np.zeros((9, 9, 3)), r"float64 \[9, 9, 3\]"), ([3], "picture 0 is int"),
                         (np.zeros((9, 9, 1), np.uint8), r"uint8 \[9, 9, 1\]")):
        with pytest.raises(UsageError, match=words):
            loaded.preprocess(wrong)
    assert loaded.predict([tmp_path / "empty.png"]) == [
        {"image": str(tmp_path / "empty.png"), "error": "empty"}]
    with pytest.raises(UsageError, match="no file or folder 'nowhere.jpg'"):
        loaded.predict("nowhere.jpg")
    with pytest.raises(UsageError, match="top is a whole number above 0, got 0"):
        loaded.predict(pictures, top=0)


def test_path_that_holds_no_network_of_ours_is_refused(run, tmp_path):
    with pytest.raises(UsageError, match="is no folder of a run or an export, and no .keras"):
        inception_tf.load(tmp_path)
    (step,) = (run / "checkpoints").iterdir()
    for part in (step.parent, step, step / "arrays.safetensors"):
        with pytest.raises(UsageError, match=f"did you mean {run}"):
            inception_tf.load(part)
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(
        tmp_path / "plain.weights.h5")
    with pytest.raises(UsageError, match="does not say which network"):
        inception_tf.load(tmp_path / "plain.weights.h5")


def test_example_of_the_docs_runs(kept, pictures, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "demo").symlink_to(write_run(tmp_path / "run", CLASSES))
    (tmp_path / "holiday").symlink_to(pictures)
    (tmp_path / "cat.jpg").symlink_to(min(pictures.rglob("*.jpg")))
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"## In Python\n\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(code, {})
    *answers, best = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in answers] == sorted(map(str, Path("holiday").rglob("*.jpg")))
    assert best in CLASSES


def test_listed_models_are_those_that_build_takes():
    assert inception_tf.list_models() == list(NETWORKS)
    for name in inception_tf.list_models():
        assert inception_tf.build(name, width=0.0625, repeats=(0, 0, 0)).count_params() > 0
