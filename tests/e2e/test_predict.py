"""`inception-tf predict` on files, folders and models of each kind."""

import json
import os
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from inception_tf.commands.export import main as export
from inception_tf.commands.predict import main
from inception_tf.commands.shell import exit_code_of
from inception_tf.serving import comparison
from inception_tf.serving import predictor as predictor_module
from inception_tf.serving.classifier import open_run
from inception_tf.serving.explain import Explainer
from tests.bad_images import jpeg
from tests.pictures import write_image_folder
from tests.runs import randomize_statistics, write_run

CLASSES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"), CLASSES, prepare=randomize_statistics,
                     image_size=139)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp("pictures"), {"x": 40, "y": 3})


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_folder_in_order_as_the_network_answers(run, pictures, tmp_path, capsys):
    output = tmp_path / "o.jsonl"
    flags = [str(pictures), f"--model={run}", f"--output={output}", "--top=2"]
    assert exit_code_of(main, flags) == 0
    paths = sorted(str(p) for p in pictures.rglob("*.jpg"))
    lines = lines_of(output)
    assert [line["image"] for line in lines] == paths
    classifier = open_run(run)
    crops = comparison.crops_of(classifier, [Path(p).read_bytes() for p in paths])
    expected, _ = comparison.live_answers(classifier, crops)
    for line, row in zip(lines, expected, strict=True):
        order = np.argsort(-row)[:2]
        assert [one["class"] for one in line["top"]] == list(order)
        assert [one["label"] for one in line["top"]] == [CLASSES[i] for i in order]
        np.testing.assert_allclose([one["probability"] for one in line["top"]], row[order],
                                   atol=2e-6)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(paths) and all(
        line.startswith(path) and "%" in line for line, path in zip(printed, paths, strict=True))


def test_unreadable_files_are_named_and_skipped(run, pictures, tmp_path, capsys):
    (tmp_path / "bad.jpg").write_bytes(jpeg()[:40])
    (tmp_path / "empty.png").touch()
    words = [str(tmp_path / "bad.jpg"), str(pictures / "y"), str(tmp_path / "empty.png")]
    output = tmp_path / "o.jsonl"
    assert exit_code_of(main, [*words, f"--model={run}", f"--output={output}"]) == 6
    assert [bool(line.get("error")) for line in lines_of(output)] == [True, *[False] * 3, True]
    *named, error = capsys.readouterr().err.splitlines()
    assert "2 of 5 pictures could not be read" in error
    assert [line.partition(": ")[0] for line in named] == [words[0], words[2]]
    assert named[1].endswith("empty.png: empty")


def test_name_that_is_no_utf_8_is_printed_and_written_so_that_it_is_found_again(
        run, pictures, tmp_path, capsys):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg")
    shutil.copy(pictures / "y" / "class_0" / "000.jpg", path)
    output = tmp_path / "o.jsonl"
    words = [os.fsdecode(path), str(pictures / "y"), f"--model={run}", f"--output={output}"]
    assert exit_code_of(main, words) == 0
    assert "caf\\udce9.jpg  " in capsys.readouterr().out.splitlines()[0]
    images = [os.fsencode(line["image"]) for line in lines_of(output)]
    assert images[0] == path and len(images) == 4


@pytest.mark.parametrize("buffering", [1, -1], ids=["at once", "at the end"])
def test_reader_that_leaves_ends_it_quietly_and_is_not_blamed_on_a_flag(
        run, pictures, tmp_path, capsys, monkeypatch, buffering):
    reader, writer = os.pipe()
    os.close(reader)
    flags = [f"--output={tmp_path / 'o.jsonl'}", f"--explain={tmp_path / 'why'}"]
    with open(writer, "w", buffering) as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert exit_code_of(main, [str(pictures / "y"), f"--model={run}", *flags]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("flag", ["output", "explain"])
def test_what_cannot_be_written_is_blamed_on_its_flag(run, pictures, tmp_path, capsys, flag):
    (tmp_path / "file").touch()
    words = [str(pictures / "y"), f"--model={run}", f"--{flag}={tmp_path / 'file' / 'x'}"]
    assert exit_code_of(main, words) == 2
    assert f"error: --{flag}=" in capsys.readouterr().err


def test_exported_folders_and_keras_files_answer_the_same(run, pictures, tmp_path, capsys):
    exported = {kind: tmp_path / kind for kind in ("savedmodel", "keras")}
    for kind, folder in exported.items():
        assert exit_code_of(export, [f"--model_dir={run}", f"--export_dir={folder}",
                                     f"--format={kind}", "--check_images=0"]) == 0
    capsys.readouterr()
    answers = []
    for model in (run, *exported.values(), exported["keras"] / "model.keras"):
        assert exit_code_of(main, [str(pictures / "y"), f"--model={model}"]) == 0
        answers.append(capsys.readouterr().out)
    assert answers == answers[:1] * 4


def test_batch_size_says_how_many_go_through_together_and_changes_no_answer(
        run, pictures, tmp_path, monkeypatch):
    sizes, original = [], predictor_module.predictor_of

    def counting(classifier):
        predictor = original(classifier)
        return predictor._replace(probabilities=lambda images: (
            sizes.append(len(images)), predictor.probabilities(images))[1])

    monkeypatch.setattr(predictor_module, "predictor_of", counting)
    answers = []
    for size in ([], ["--batch_size=5"]):
        output = tmp_path / f"{len(size)}.jsonl"
        assert exit_code_of(main, [str(pictures), f"--model={run}", f"--output={output}",
                                   "--top=3", *size]) == 0
        answers.append([line["top"] for line in lines_of(output)])
    assert sizes == [32, 11] + [5] * 8 + [3]
    for ours, theirs in zip(*answers, strict=True):
        assert [one["class"] for one in ours] == [one["class"] for one in theirs]
        np.testing.assert_allclose([one["probability"] for one in ours],
                                   [one["probability"] for one in theirs], atol=3e-6)


def test_top_beyond_the_classes_names_all_of_them(run, pictures, tmp_path):
    output = tmp_path / "o.jsonl"
    words = [str(pictures / "y"), f"--model={run}", f"--output={output}", "--top=99"]
    assert exit_code_of(main, words) == 0
    assert [len(line["top"]) for line in lines_of(output)] == [3, 3, 3]


def test_explanations_add_up_to_the_logits(run, pictures, tmp_path):
    classifier = open_run(run)
    (path, *_) = sorted(pictures.rglob("*.jpg"))
    image = comparison.crops_of(classifier, [path.read_bytes()])[0]
    explainer = Explainer(classifier)
    maps = explainer.maps(image, [2, 0])
    assert maps.shape == (2, *explainer.grid_shape) and explainer.grid_shape == (3, 3)
    logits = classifier.model(image[None], training=False).numpy()[0]
    bias = classifier.model.get_layer("logits").bias.numpy()
    evidence = logits - bias
    expected = (evidence - evidence.mean())[[2, 0]]
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), expected, atol=1e-5)


def test_explain_draws_each_picture_under_a_name_of_its_own(run, pictures, tmp_path):
    folder = tmp_path / "why"
    words = [str(pictures / split / "class_0" / "000.jpg") for split in ("x", "y")]
    assert exit_code_of(main, [*words, f"--model={run}", f"--explain={folder}"]) == 0
    drawn = sorted(folder.iterdir())
    assert [p.name for p in drawn] == ["000.png", "000_2.png"]
    assert all(np.asarray(Image.open(p)).std() > 10 for p in drawn)


def test_explain_draws_names_that_would_be_formulas_or_no_text(pictures, tmp_path):
    run = write_run(tmp_path / "run", ["a$_$b", "$\\frac{$", "c\udce9"], image_size=139)
    name = os.path.join(os.fsencode(tmp_path), b"a$_$b\xe9.jpg")
    shutil.copy(pictures / "y" / "class_0" / "000.jpg", name)
    words = [os.fsdecode(name), f"--model={run}", f"--explain={tmp_path / 'why'}"]
    assert exit_code_of(main, words) == 0
    assert [os.fsencode(p.name) for p in (tmp_path / "why").iterdir()] == [b"a$_$b\xe9.png"]


@pytest.mark.parametrize(("words", "message"), [
    ([], "predict needs pictures"),
    (["nowhere.jpg"], "no file or folder 'nowhere.jpg'"),
    (["{tmp}"], "has no .jpg"),
    (["{pictures}", "--top=0"], "--top=0 is below 1"),
    (["{pictures}", "--batch_size=0"], "--batch_size=0 is below 1"),
    (["{pictures}", "--batch_size=100000000"], "--batch_size: a batch of 100,000,000 images"),
    (["{pictures}", "--output={pictures}"], "is a folder"),
    (["{pictures}", "--output={pictures}/y/class_0/000.jpg"], "exists already"),
    (["{pictures}", "--model={pictures}"], "is no folder of a run or an export"),
    (["{pictures}", "--model=x.onnx"], "is no folder of a run or an export"),
    (["{pictures}", "--model=nowhere.keras"], "no file 'nowhere.keras'"),
    (["{pictures}", "--model={tmp}/plain.keras"], "does not say which network"),
])
def test_bad_input_is_one_line(run, pictures, tmp_path, capsys, words, message):
    if "plain.keras" in str(words):
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "plain.keras")
    filled = [word.format(tmp=tmp_path, pictures=pictures) for word in words]
    assert exit_code_of(main, [f"--model={run}", *filled]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and message in errors[0]


def test_probabilities_that_are_not_finite_end_it_and_name_the_picture(run, pictures, tmp_path,
                                                                       capsys, monkeypatch):
    predictor = predictor_module.open_predictor(str(run))._replace(
        probabilities=lambda images: np.full([len(images), 3], np.nan))
    monkeypatch.setattr(predictor_module, "open_predictor", lambda path, which: predictor)
    output = tmp_path / "o.jsonl"
    assert exit_code_of(main, [str(pictures), f"--model={run}", f"--output={output}"]) == 5
    first = min(map(str, pictures.rglob("*.jpg")))
    assert f"{first} has probabilities that are not finite" in capsys.readouterr().err
    assert output.read_text() == ""


def test_decoding_stays_a_bounded_way_ahead(run, pictures, monkeypatch):
    """Memory must not grow with the number of pictures."""
    decoded = []
    monkeypatch.setattr(predictor_module, "_decode", lambda cut, path: decoded.append(path))
    predictor = predictor_module.open_predictor(str(run))
    stream = predictor_module.decoded_batches(predictor, map(str, range(10_000)), 8)
    next(stream)
    assert len(decoded) <= (predictor_module.AHEAD + 2) * 8
    stream.close()
