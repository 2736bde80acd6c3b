"""eval --max_bad_examples: images that cannot be read are counted apart."""

import json

import numpy as np
import pytest

from inception_tf.commands import eval as command
from inception_tf.commands.shell import exit_code_of
from inception_tf.evaluation.predictions_file import PredictionsWriter, open_predictions
from tests.pictures import write_image_folder
from tests.runs import write_run

NUM = 13
BAD = [2, 9]  # places in the split
LIMIT = f"--max_bad_examples={len(BAD)}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a split two of whose images are damaged."""
    root = tmp_path_factory.mktemp("root")
    images = write_image_folder(root / "images", {"train": 6, "validation": NUM}, num_classes=6)
    for place in BAD:
        path = sorted((images / "validation").rglob("*.jpg"))[place]
        path.write_bytes(path.read_bytes()[:300])
    return write_run(root / "run", [f"class_{k}" for k in range(6)], dataset="folder",
                     data_dir=str(images))


@pytest.fixture(scope="module")
def scored(run, tmp_path_factory):
    """(result, predictions, what was printed) of a scoring that allows both."""
    folder = tmp_path_factory.mktemp("scored")
    words = [f"--model_dir={run}", LIMIT, "--batch_size=4", f"--predictions={folder}/p",
             f"--output={folder}/r.json", f"--report={folder}/report"]
    assert exit_code_of(command.main, words) == 0
    return json.loads((folder / "r.json").read_text()), open_predictions(folder / "p"), folder


def test_bad_examples_are_counted_apart_and_the_others_scored(scored):
    result, predictions, _ = scored
    assert result["num_bad_examples"] == len(BAD) and result["num_examples"] == NUM
    (row,) = result["rows"]
    good = np.setdiff1d(np.arange(NUM), BAD)
    assert row["num_examples"] == len(good)
    wrong = predictions.probabilities[good].argmax(axis=1) != predictions.labels[good]
    assert row["top1_error"] == wrong.mean()
    assert np.isnan(predictions.probabilities[BAD]).all()
    assert np.isfinite(predictions.probabilities[good]).all()


def test_bad_examples_keep_their_place_name_and_label(scored):
    _, predictions, _ = scored
    assert len(set(predictions.example_ids)) == NUM
    for name, label in zip(predictions.example_ids, predictions.labels, strict=True):
        assert f"/class_{label}/" in name


def test_count_is_in_the_table_and_below_it(scored, capsys):
    assert exit_code_of(command.main, [f"--from_predictions={scored[2]}/p"]) == 0
    printed = capsys.readouterr().out
    assert " bad " in printed
    assert f"{len(BAD)} of {NUM} images could not be read and are not counted" in printed


@pytest.mark.parametrize("flags, words", [
    ([], "1 bad examples, none is allowed in scoring"),
    (["--max_bad_examples=1"], "2 bad examples, more than --max_bad_examples=1"),
])
def test_more_bad_examples_than_allowed_end_it_and_are_named(run, capsys, flags, words):
    assert exit_code_of(command.main, [f"--model_dir={run}", "--batch_size=4", *flags]) == 6
    error = capsys.readouterr().err.splitlines()[-1]
    assert words in error and "validation/class_" in error


def test_resumed_run_counts_those_that_were_found_before(run, scored, tmp_path, monkeypatch,
                                                         capsys):
    words = [f"--model_dir={run}", "--batch_size=4", f"--predictions={tmp_path}/p"]
    original = PredictionsWriter.append

    def append(self, *rows):
        if self.count == 4:
            raise SystemExit
        original(self, *rows)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(PredictionsWriter, "append", append)
        exit_code_of(command.main, [*words, LIMIT])
    assert exit_code_of(command.main, [*words, "--max_bad_examples=1"]) == 6
    assert "2 bad examples in all, more than --max_bad_examples=1" in capsys.readouterr().err
    assert exit_code_of(command.main, [*words, LIMIT]) == 0
    assert exit_code_of(command.main, words) == 6  # nothing is left to do, but none is allowed
    assert "2 bad examples in all, more than --max_bad_examples=0" in capsys.readouterr().err
    ours = open_predictions(tmp_path / "p")
    np.testing.assert_array_equal(ours.probabilities, scored[1].probabilities)
    assert ours.example_ids == scored[1].example_ids


def test_split_in_which_every_counted_image_is_bad_has_no_error_rate(run, scored, tmp_path):
    names = [name for row, name in enumerate(scored[1].example_ids) if row not in BAD]
    (tmp_path / "others").write_text("\n".join(names))
    output = tmp_path / "r.json"
    words = [f"--from_predictions={scored[2]}/p", f"--exclude={tmp_path}/others",
             f"--output={output}"]
    assert exit_code_of(command.main, words) == 0
    result = json.loads(output.read_text())
    assert result["rows"] == [] and result["num_bad_examples"] == len(BAD)
