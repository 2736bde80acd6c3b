"""Scoring on ImageNet's own archives in miniature: the blacklist, ReaL labels, the test server."""

import json

import numpy as np
import pytest

from inception_tf.commands import eval as command
from inception_tf.evaluation.predictions_file import open_predictions
from tests.imagenet_miniature import NUM_SYNSETS, tfds_file, validation_labels, write_archives
from tests.runs import write_run

CLASSES = tfds_file("labels.txt").split()


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    root = tmp_path_factory.mktemp("imagenet")
    write_archives(root, train=False, test=True)
    write_run(root / "run", CLASSES, dataset="imagenet2012")
    return [f"--model_dir={root / 'run'}", f"--manual_dir={root}", f"--data_dir={root / 'tfds'}"]


def evaluate(tmp_path, *words):
    command.main([*words, f"--output={tmp_path}/r.json"])
    return json.loads((tmp_path / "r.json").read_text())


@pytest.fixture(scope="module")
def scored(flags, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    return evaluate(folder, *flags, f"--predictions={folder}/p"), folder / "p"


def test_labels_are_those_of_the_file_names(scored):
    labels, predictions = validation_labels(), open_predictions(scored[1])
    assert scored[0]["rows"][0]["num_examples"] == len(predictions) == NUM_SYNSETS
    for name, label in zip(predictions.example_ids, predictions.labels, strict=True):
        assert label == labels[name.rpartition("(")[2].rstrip(")")]


def test_blacklist_of_the_development_kit_names_images_by_number(scored, tmp_path):
    (tmp_path / "blacklist.txt").write_text("7\n20\n")
    found = evaluate(tmp_path, f"--from_predictions={scored[1]}",
                     f"--exclude={tmp_path / 'blacklist.txt'}")
    assert found["rows"][0]["num_examples"] == NUM_SYNSETS - 2


def test_real_labels_go_by_the_number_of_the_file(scored, tmp_path):
    predictions = open_predictions(scored[1])
    numbers = [int(name[-13:-6]) for name in predictions.example_ids]
    best = dict(zip(numbers, predictions.probabilities.argmax(axis=1).tolist(), strict=True))
    lists = [[best[number]] for number in sorted(numbers)]
    lists[6] = []
    (tmp_path / "real.json").write_text(json.dumps(lists))
    found = evaluate(tmp_path, f"--from_predictions={scored[1]}",
                     f"--labels={tmp_path / 'real.json'}")
    assert found["rows"][0]["num_examples"] == NUM_SYNSETS - 1
    assert found["rows"][0]["top1_error"] == 0


def test_test_split_gives_a_submission_in_the_order_of_the_file_names(flags, tmp_path):
    ids = np.random.default_rng(0).permutation(1000) + 1
    (tmp_path / "map_clsloc.txt").write_text(
        "".join(f"{name} {number} x\n" for name, number in zip(CLASSES, ids, strict=True)))
    found = evaluate(tmp_path, *flags, "--eval_split=test", f"--predictions={tmp_path}/p",
                     f"--submission={tmp_path}/s.txt", f"--class_ids={tmp_path}/map_clsloc.txt")
    assert found["rows"] == [] and found["num_without_label"] == NUM_SYNSETS
    predictions = open_predictions(tmp_path / "p")
    order = np.argsort([name[-13:-6] for name in predictions.example_ids])
    expected = [" ".join(map(str, ids[np.argsort(-predictions.probabilities[row])[:5]]))
                for row in order]
    assert (tmp_path / "s.txt").read_text().splitlines() == expected


def test_test_split_without_a_place_for_its_result_is_refused_before_it_is_run(flags):
    with pytest.raises(command.UsageError, match="has no labels to score against"):
        command.main([*flags, "--eval_split=test"])


@pytest.mark.parametrize("name", ["imagenet_v2", "imagenet_a", "imagenet_r", "imagenet_sketch"])
def test_other_test_sets_of_imagenet_have_the_classes_of_the_checkpoint(name):
    import tensorflow_datasets as tfds

    assert tfds.builder(name).info.features["label"].names == CLASSES
