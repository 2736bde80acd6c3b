"""What long work says where no bar can be drawn: here every command, as if it were long."""

from pathlib import Path

import pytest

from inception_tf.commands import average, convert, eval, export, predict
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import CHECKPOINTS
from inception_tf.runtime import progress
from tests.runs import write_served_run
from tests.weight_files import WIDTH, arrays, write_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run of two checkpoints, and its images."""
    folder = tmp_path_factory.mktemp("served")
    root = Path(write_served_run(folder)) / CHECKPOINTS
    arrays, manifest = checkpoint.load(root, 1)
    entries = {name: manifest[name] for name in ("config", "class_names", "data", "bad_examples")}
    checkpoint.save(root, 2, arrays, entries)
    return folder


def lines_of(main, caplog, *words):
    caplog.set_level("INFO", "inception_tf")
    main(words)
    return "\n".join(caplog.messages)


def test_eval_predict_and_average_say_how_far_they_are(folder, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    run = f"{folder}/run"
    assert "inception_resnet_v1 validation: step 3 of 4, " in lines_of(
        eval.main, caplog, f"--model_dir={run}", "--batch_size=4")
    assert "predict: image 12 of 13, " in lines_of(
        predict.main, caplog, f"{folder}/images/validation", f"--model={run}")
    assert "average: checkpoint 1 of 2, " in lines_of(
        average.main, caplog, f"--model_dir={run}", "--last=2", f"--output_dir={tmp_path}/mean")


def test_export_says_for_how_long_it_has_been_at_work(folder, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.01)
    out = tmp_path / "1"
    assert f"exporting to {out}, 0s so far" in lines_of(
        export.main, caplog, f"--model_dir={folder}/run", "--format=keras", "--check_images=0",
        f"--export_dir={out}")


def test_convert_says_for_how_long_it_has_been_reading_and_writing(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.01)
    prefix = write_checkpoint(tmp_path / "model.ckpt", arrays("inception_v3", "slim", 1001))
    out = tmp_path / "net.keras"
    said = lines_of(convert.main, caplog, "--net=inception_v3", "--from=slim", f"--input={prefix}",
                    f"--output={out}", f"--width={WIDTH}", "--image_size=75")
    assert f"reading {prefix}, 0s so far" in said and f"writing {out}, 0s so far" in said


def test_short_work_says_nothing_of_its_progress(folder, caplog):
    assert "step" not in lines_of(eval.main, caplog, f"--model_dir={folder}/run").replace(
        "(step 2)", "")
