"""What a scoring writes: tried before the network runs, and no hour of work lost at the end."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from inception_tf.commands import eval as command
from inception_tf.commands.predict import main as predict
from inception_tf.commands.shell import exit_code_of
from inception_tf.evaluation.predictions_file import open_predictions
from inception_tf.serving import export
from inception_tf.serving.explain import picture_names
from inception_tf.text import printable
from tests.pictures import write_image_folder
from tests.runs import write_run

NUM = 5
LONG = "é" * 100
CLASSES = ["class_0", f"{LONG}\x1b[31m\nb"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Ids of more than 320 bytes, alike in the first 320, with orders to a terminal in them."""
    folder = write_image_folder(tmp_path_factory.mktemp("images"), {"train": 4, "validation": NUM},
                                num_classes=2)
    for split in ("train", "validation"):
        (folder / split / "class_1").rename(folder / split / CLASSES[1])
        for path in (folder / split / CLASSES[1]).iterdir():
            path.rename(path.with_name(f"{LONG}{path.name}"))
    return folder


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"), CLASSES, dataset="folder",
                     data_dir=str(images))


@pytest.fixture(scope="module")
def predictions(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("predictions") / "a.p"
    assert exit_code_of(command.main, [f"--model_dir={run}", f"--predictions={path}"]) == 0
    return path


@pytest.mark.parametrize("flag", ["--output={tmp}/nowhere/r.json", "--submission={tmp}",
                                  "--report={tmp}/file/report", "--output={tmp}/file/r.json",
                                  "--predictions={tmp}/new,{tmp}/file"])
def test_f54_output_that_cannot_be_written_ends_it_before_any_network_runs(
        run, tmp_path, capsys, monkeypatch, flag):
    def unexpected(*_):
        raise AssertionError("a network runs")

    monkeypatch.setattr("inception_tf.evaluation.scoring.predict_split", unexpected)
    (tmp_path / "file").write_text("mine")
    words = [f"--model_dir={run},{run}", flag.format(tmp=tmp_path)]
    assert exit_code_of(command.main, words) == 2
    assert capsys.readouterr().err.count("error: ") == 1
    assert (tmp_path / "file").read_text() == "mine"
    assert {p.name for p in tmp_path.iterdir()} <= {"file", "new"}


def test_f54_result_that_cannot_be_written_costs_neither_table_nor_probabilities(
        run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    output = tmp_path / "r.json"
    words = [f"--model_dir={run}", f"--submission={tmp_path / 's.txt'}"]
    assert exit_code_of(command.main, [*words, "--output=/dev/full"]) == 4
    printed = capsys.readouterr()
    assert "inception_resnet_v1" in printed.out and "No space left" in printed.err
    assert len((tmp_path / "s.txt").read_text().splitlines()) == NUM  # the other one was written
    flag = printed.err.split()[-1]
    assert flag.startswith("--predictions=") and len(open_predictions(flag[14:])) == NUM
    assert exit_code_of(command.main, [*words, f"--output={output}", flag]) == 0
    assert json.loads(output.read_text())["num_examples"] == NUM
    assert exit_code_of(command.main, [f"--model_dir={run}"]) == 0
    assert len(list(tmp_path.glob("inception_tf-*"))) == 1  # of a run without a failure none stays


@pytest.mark.parametrize("flag", ["--output=-", "--output=/dev/stdout", "--submission=-"])
def test_f54_standard_output_gets_nothing_but_the_file(predictions, capsys, flag):
    assert exit_code_of(command.main, [f"--from_predictions={predictions}", flag]) == 0
    printed = capsys.readouterr()
    if flag.startswith("--output"):
        assert json.loads(printed.out)["num_examples"] == NUM
    else:
        assert len(printed.out.splitlines()) == NUM
    assert "inception_resnet_v1" in printed.err


def test_f54_predictions_are_not_overwritten_by_a_result(predictions, capsys):
    before = predictions.read_bytes()
    words = [f"--from_predictions={predictions}", f"--output={predictions}"]
    assert exit_code_of(command.main, words) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert predictions.read_bytes() == before


def test_ids_of_any_length_are_distinct_and_excluded_by_what_is_printed(
        images, predictions, tmp_path):
    ids = open_predictions(predictions).example_ids
    assert len(set(ids)) == NUM and max(len(name.encode()) for name in ids) > 320
    assert all((images / name).is_file() for name in ids)
    (tmp_path / "list").write_text("\n".join(printable(name) for name in ids[-2:]) + "\n")
    words = [f"--from_predictions={predictions}", f"--exclude={tmp_path / 'list'}"]
    assert exit_code_of(command.main, [*words, f"--output={tmp_path / 'r.json'}"]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["num_excluded"] == 2


def test_predict_shows_names_escaped_and_writes_them_as_they_are(run, images, tmp_path, capsys):
    good = sorted((images / "validation" / CLASSES[1]).iterdir())[0]
    bad = tmp_path / "bad\x1b[2J.jpg"
    bad.write_bytes(b"no picture")
    assert exit_code_of(predict, [str(good), str(bad), f"--model={run}",
                                  f"--output={tmp_path / 'o'}"]) == 6
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert r"\x1b[31m\nb" in printed.out and r"bad\x1b[2J.jpg: not a" in printed.err
    lines = [json.loads(line) for line in (tmp_path / "o").read_text().splitlines()]
    assert [line["image"] for line in lines] == [str(good), str(bad)]
    assert {one["label"] for one in lines[0]["top"]} == set(CLASSES)


def test_f54_predict_gives_lines_of_json_and_nothing_else_on_standard_output(
        run, images, tmp_path, capsys):
    words = [str(images / "validation"), f"--model={run}"]
    assert exit_code_of(predict, [*words, "--output=-"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == NUM and all(Path(line["image"]).is_file() for line in lines)
    os.symlink("made", tmp_path / "link")
    assert exit_code_of(predict, [*words, f"--output={tmp_path / 'link'}"]) == 0
    assert [json.loads(line) for line in (tmp_path / "made").read_text().splitlines()] == lines


def test_pictures_of_long_names_get_names_that_file_systems_take():
    names = picture_names([f"{folder}/{LONG}{LONG[:25]}.jpg" for folder in "ab"] + ["x" * 255])
    assert len(set(names.values())) == 3
    assert max(len(os.fsencode(name)) for name in names.values()) <= 255


def test_labels_have_a_line_for_each_class_whatever_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "model_card", lambda manifest: "")
    export._write_beside(tmp_path, SimpleNamespace(class_names=CLASSES), {"class_names": CLASSES})
    assert (tmp_path / "labels.txt").read_text().splitlines() == [printable(n) for n in CLASSES]
    assert json.loads((tmp_path / "manifest.json").read_text())["class_names"] == CLASSES


def test_predict_names_every_unreadable_picture(run, tmp_path, capsys):
    for number in range(50):
        (tmp_path / f"{number:02}.jpg").write_bytes(b"no picture")
    assert exit_code_of(predict, [str(tmp_path), f"--model={run}"]) == 6
    *named, last = capsys.readouterr().err.splitlines()
    assert [Path(line.partition(": ")[0]).name for line in named] == [
        f"{number:02}.jpg" for number in range(50)]
    assert last.startswith("error: 50 of 50 pictures could not be read")
