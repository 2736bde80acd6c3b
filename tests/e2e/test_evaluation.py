"""eval as a user starts it: crops, ensembles, files that go on, and every mistake in one line."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from inception_tf.commands import eval as command
from inception_tf.commands.shell import exit_code_of
from inception_tf.config import Config
from inception_tf.data.views import plain_views, preprocessing_of, protocol_of, with_mirrors
from inception_tf.evaluation.predictions_file import PredictionsWriter, open_predictions
from inception_tf.runs.network import load_model
from tests.pictures import write_image_folder
from tests.runs import write_run

NUM = 13  # nothing divides it
CLASSES = [f"class_{k}" for k in range(6)]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return write_image_folder(folder, {"train": 6, "validation": NUM}, num_classes=6)


@pytest.fixture(scope="module")
def runs(images, tmp_path_factory):
    """Two networks of different families, input sizes and preprocessing."""
    root = tmp_path_factory.mktemp("runs")
    data = {"dataset": "folder", "data_dir": str(images)}
    write_run(root / "a", CLASSES, **data)
    write_run(root / "b", CLASSES, seed=1, net="inception_v4", image_size=80, **data,
              crop_fraction=1.0, interpolation="bicubic", background_class=True)
    return root


def evaluate(*words):
    """Result of a command line that must succeed, as its JSON."""
    output = next(w for w in words if w.startswith("--output=")).partition("=")[2]
    assert exit_code_of(command.main, list(words)) == 0
    return json.loads(Path(output).read_text())


@pytest.fixture(scope="module")
def ensemble(runs, tmp_path_factory):
    """Both networks with 12 crops: (result, folder of the predictions files)."""
    folder = tmp_path_factory.mktemp("ensemble")
    result = evaluate(f"--model_dir={runs}/a,{runs}/b", "--protocol=12", "--batch_size=24",
                      f"--predictions={folder}/a.p,{folder}/b.p", f"--report={folder}/report",
                      f"--output={folder}/r.json")
    return result, folder


def test_probabilities_are_the_mean_softmax_of_the_views_of_each_image(runs, images, ensemble):
    for name in "ab":
        model, config, _ = load_model(runs / name)
        found = open_predictions(ensemble[1] / f"{name}.p")
        preprocessing = preprocessing_of(config.network, config.data)
        protocol = protocol_of(12, "scaled", config.network.image_size)
        for row in (0, NUM - 1):
            encoded = (images / found.example_ids[row]).read_bytes()
            pixels = with_mirrors(plain_views(encoded, preprocessing, protocol), protocol)
            logits = model.predict(pixels, verbose=0).astype(float)
            softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            expected = softmax.mean(axis=0)[-len(CLASSES):]  # without the background
            np.testing.assert_allclose(found.probabilities[row], expected, rtol=1e-5)
            assert CLASSES[found.labels[row]] == Path(found.example_ids[row]).parent.name


def test_ensemble_has_a_row_per_network_and_one_for_their_mean(ensemble):
    rows = ensemble[0]["rows"]
    assert [row["networks"] for row in rows] == [
        ["inception_resnet_v1"], ["inception_v4"], ["inception_resnet_v1", "inception_v4"]]
    assert [row["num_examples"] for row in rows] == [NUM] * 3
    files = [open_predictions(ensemble[1] / f"{name}.p") for name in "ab"]
    mean = np.mean([f.probabilities.astype(float) for f in files], axis=0)
    assert rows[2]["top1_error"] == np.mean(mean.argmax(1) != files[0].labels)


def test_result_has_what_repeats_it(ensemble):
    result, _ = ensemble
    assert result["command"][0] == "eval" and "--protocol=12" in result["command"]
    assert result["num_examples"] == NUM and len(result["data_fingerprint"]) == 64
    assert {"python", "tensorflow", "keras", "numpy"} <= result["versions"].keys()
    for member, size, scale in zip(result["members"], (75, 80), (86, 91), strict=True):
        assert len(member["checkpoint_sha256"]) == 64
        assert member["preprocessing"]["image_size"] == size
        assert member["protocol"] == {"crops": 12, "scales": [scale], "field": size}
        assert member["about"]["config"]["network"]["image_size"] == size


def test_score_from_files_equals_the_score_of_the_run(ensemble, tmp_path):
    result, folder = ensemble
    again = evaluate(f"--from_predictions={folder}/a.p,{folder}/b.p", f"--output={tmp_path}/r.json")
    for row, before in zip(again["rows"], result["rows"], strict=True):
        assert row == {k: v for k, v in before.items() if k != "images_per_second"}


def test_report_of_a_run_shows_the_images_it_scored(ensemble):
    page = (ensemble[1] / "report" / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 5 and "whole: many views of each" in page
    assert all(m["checkpoint_sha256"] in page for m in ensemble[0]["members"])


def test_errors_by_class_and_confusions_lie_beside_the_json(ensemble):
    result, folder = ensemble
    assert result["tables"] == {"classes": f"{folder}/r.classes.csv",
                                "confusion": f"{folder}/r.confusion.csv"}
    with open(folder / "r.classes.csv", newline="") as file:
        classes = list(csv.DictReader(file))
    assert [row["name"] for row in classes] == CLASSES
    both = result["rows"][2]
    for rate in ("top1", "top5"):
        errors = sum(int(row[f"{rate}_errors"]) for row in classes)
        assert errors == round(both[f"{rate}_error"] * NUM)
    with open(folder / "r.confusion.csv", newline="") as file:
        met = [(row["true"] == row["predicted"], int(row["images"]))
               for row in csv.DictReader(file)]
    assert sum(images for _, images in met) == NUM
    assert sum(images for right, images in met if not right) == round(both["top1_error"] * NUM)


def test_table_beside_the_json_overwrites_nothing_that_is_read(ensemble, tmp_path, capsys):
    names = tmp_path / "r.classes.csv"
    names.write_text("3\n")
    words = [f"--from_predictions={ensemble[1]}/a.p", f"--exclude={names}"]
    assert exit_code_of(command.main, [*words, f"--output={tmp_path}/r.json"]) == 2
    assert "is what --exclude names: it would be overwritten" in capsys.readouterr().err
    assert names.read_text() == "3\n" and not (tmp_path / "r.json").exists()


def test_search_lists_every_subset(ensemble, tmp_path, capsys):
    _, folder = ensemble
    found = evaluate(f"--from_predictions={folder}/a.p,{folder}/b.p", "--search",
                     f"--output={tmp_path}/r.json")
    assert sorted(len(row["models"]) for row in found["rows"]) == [1, 1, 2]
    assert "inception_resnet_v1 + inception_v4" in capsys.readouterr().out
    assert found["tables"] == {} and [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize("protocol", [
    ["--protocol=10", "--scales=googlenet"],  # several images per pass
    ["--protocol=144", "--batch_size=50"],  # several passes per image
], ids=lambda words: words[0][2:])
def test_run_stopped_in_the_middle_goes_on_to_the_same_bytes(runs, protocol, tmp_path, monkeypatch):
    words = [f"--model_dir={runs}/a", *protocol]
    whole = evaluate(*words, f"--predictions={tmp_path}/whole", f"--output={tmp_path}/whole.json")
    append, calls = PredictionsWriter.append, []

    def killed_at_the_third(self, *rows):
        calls.append(rows)
        if len(calls) == 3:
            raise KeyboardInterrupt
        append(self, *rows)

    with monkeypatch.context() as patch:
        patch.setattr(PredictionsWriter, "append", killed_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            command.main([*words, f"--predictions={tmp_path}/killed"])
    size = (tmp_path / "killed").stat().st_size
    with open(tmp_path / "killed", "ab") as file:
        file.truncate(size - 1)  # as a kill within a write leaves it
    again = evaluate(*words, f"--predictions={tmp_path}/killed", f"--output={tmp_path}/again.json")
    rows = [(tmp_path / name).read_bytes().partition(b"\n")[2] for name in ("whole", "killed")]
    assert rows[0] == rows[1]
    drop = {"images_per_second"}
    assert [{k: v for k, v in row.items() if k not in drop} | {"models": 0}
            for row in again["rows"]] == [
        {k: v for k, v in row.items() if k not in drop} | {"models": 0} for row in whole["rows"]]


def test_two_devices_count_every_image_once_and_agree_with_one(runs, ensemble, tmp_path):
    found = evaluate(f"--model_dir={runs}/a", "--protocol=12", "--strategy=mirrored",
                     "--batch_size=48", f"--predictions={tmp_path}/p", f"--output={tmp_path}/r")
    assert found["rows"][0]["num_examples"] == NUM
    ours, theirs = open_predictions(tmp_path / "p"), open_predictions(ensemble[1] / "a.p")
    assert ours.example_ids == theirs.example_ids and (ours.labels == theirs.labels).all()
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=1e-5)


def test_excluded_images_do_not_count(runs, ensemble, tmp_path):
    (tmp_path / "out.txt").write_text("validation/class_1/001.jpg\n000.jpg # why\n")
    found = evaluate(f"--from_predictions={ensemble[1]}/a.p", f"--exclude={tmp_path}/out.txt",
                     f"--output={tmp_path}/r")
    assert found["rows"][0]["num_examples"] == NUM - 2 and found["num_excluded"] == 2
    assert len(found["exclude"]["sha256"]) == 64


def test_several_right_classes_per_image_from_a_file(ensemble, tmp_path):
    ids = open_predictions(ensemble[1] / "a.p").example_ids
    labels = {name: list(range(6)) if row else [] for row, name in enumerate(ids)}
    (tmp_path / "real.json").write_text(json.dumps(labels))
    found = evaluate(f"--from_predictions={ensemble[1]}/a.p", f"--labels={tmp_path}/real.json",
                     f"--output={tmp_path}/r")
    assert found["rows"][0]["num_examples"] == NUM - 1 == NUM - found["num_without_label"]
    assert found["rows"][0]["top1_error"] == 0


def test_table_shows_crops_counts_and_what_the_paper_leaves_open(ensemble, capsys):
    command.main([f"--from_predictions={ensemble[1]}/a.p,{ensemble[1]}/b.p"])
    shown = capsys.readouterr().out
    for part in ("inception_resnet_v1 + inception_v4", " 12 ", f" {NUM} ", "GoogLeNet",
                 "86, crops of 75 pixels", "91, crops of 80 pixels"):
        assert part in shown
    assert "paper top-1" not in shown  # small networks on small pictures have no row there


# Mistakes -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wrong(runs, images, tmp_path_factory):
    """Runs, files and data that do not fit the good ones."""
    root = tmp_path_factory.mktemp("wrong")
    data = {"dataset": "folder", "data_dir": str(images)}
    write_run(root / "five", CLASSES[:5], **data)
    write_run(root / "order", [*CLASSES[:4], "class_5", "class_4"], **data)
    write_run(root / "other_net", CLASSES, **data)
    config = Config.from_json((root / "other_net" / "config.json").read_text())
    (root / "other_net" / "config.json").write_text(config.replace(net="inception_v4").to_json())
    (root / "empty").mkdir()
    (root / "empty" / "config.json").write_text(config.to_json())
    (root / "unknown.txt").write_text("validation/class_1/999.jpg\n")
    (root / "real.json").write_text("[[0]]")
    (root / "notes").write_text("holidays")
    exit_code_of(command.main, [f"--model_dir={runs}/a", "--eval_split=train",
                                f"--predictions={root}/train.p"])
    shuffled = write_image_folder(root / "shuffled", {"train": 6, "validation": NUM}, 6, seed=1)
    exit_code_of(command.main, [f"--model_dir={runs}/a", f"--data_dir={shuffled}",
                                f"--predictions={root}/shuffled.p"])
    return root


@pytest.mark.parametrize("words, message", [
    (["--model_dir={wrong}/nowhere"], "no config.json there"),
    (["--model_dir={wrong}/empty"], "has no checkpoint yet"),
    (["--model_dir={wrong}/other_net"],
     "was trained with --net=inception_resnet_v1, its config.json says inception_v4"),
    (["--model_dir={runs}/a,{wrong}/five"], "a has 6 classes, "),
    (["--model_dir={runs}/a,{wrong}/order"], "class 4 is 'class_4', that of "),
    (["--model_dir={wrong}/order"], "class 4 is 'class_5', that of --dataset=folder"),
    (["--model_dir={runs}/a", "--exclude={wrong}/unknown.txt"],
     "names 1 image(s) that the split does not have: validation/class_1/999.jpg"),
    (["--model_dir={runs}/a", "--exclude={wrong}/nowhere.txt"], "No such file"),
    (["--model_dir={runs}/a", "--labels={wrong}/real.json"], "has labels of 1 images"),
    (["--model_dir={runs}/a", "--predictions={wrong}/train.p"], "split is \"train\", not"),
    (["--model_dir={runs}/a", "--predictions={ensemble}/a.p"], "protocol is "),
    (["--model_dir={runs}/b", "--protocol=12", "--batch_size=24", "--predictions={ensemble}/a.p"],
     "is \"inception_resnet_v1\", not \"inception_v4\""),
    (["--model_dir={runs}/a", "--predictions={wrong}/notes"], "is not a predictions file"),
    (["--model_dir={runs}/a,{runs}/b", "--predictions={wrong}/new"], "1 file(s) for 2 networks"),
    (["--model_dir={runs}/a,{runs}/b", "--predictions={wrong}/x,{wrong}/x"], "one file twice"),
    (["--model_dir={runs}/a", "--protocol=144", "--scales=80,90"], "takes 4 scale(s), got 2"),
    (["--model_dir={runs}/a", "--protocol=12", "--scales=big"], "--scales=big is neither"),
    (["--model_dir={runs}/a", "--batch_size=0"], "--batch_size=0 is below 1"),
    (["--model_dir={runs}/a", "--search"], "--search needs --from_predictions"),
    (["--from_predictions={ensemble}/a.p,{wrong}/train.p"], "split is \"train\", not"),
    (["--from_predictions={ensemble}/a.p,{wrong}/shuffled.p"], "data_fingerprint is "),
    (["--from_predictions={wrong}/notes"], "is not a predictions file"),
    (["--from_predictions={ensemble}/a.p", "--model_dir={runs}/a"], "--model_dir has no use"),
    (["--from_predictions={ensemble}/a.p", "--protocol=12"], "--protocol has no use"),
    (["--from_predictions={ensemble}/a.p", "--data_dir=."], "--data_dir has no use"),
    (["--from_predictions={ensemble}/a.p", "--search", "--report={wrong}/r"], "leave --search"),
    (["--model_dir={runs}/a", "--report={wrong}"], "wrong0 exists already"),
    (["--model_dir={runs}/a", "--class_ids={wrong}/notes"], "without --submission"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_mistake_is_one_line_with_code_2_and_overwrites_nothing(
        words, message, runs, wrong, ensemble, capsys):
    roots = (runs, wrong, ensemble[1])
    before = {p: p.read_bytes() for root in roots for p in root.rglob("*") if p.is_file()}
    words = [w.format(runs=runs, wrong=wrong, ensemble=ensemble[1]) for w in words]
    assert exit_code_of(command.main, [*words, f"--output={wrong}/r.json"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and message in line
    assert before == {p: p.read_bytes() for root in roots for p in root.rglob("*") if p.is_file()}
