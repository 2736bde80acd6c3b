"""`inception-tf features`: what the .npz holds, and a run that is killed and started again."""

import logging
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import inception_tf
from inception_tf.commands.export import main as export
from inception_tf.commands.features import main
from inception_tf.commands.shell import exit_code_of
from inception_tf.errors import UsageError
from inception_tf.serving import feature_file, features
from inception_tf.serving.predictor import Predictor
from tests.pictures import write_image_folder
from tests.runs import randomize_statistics, write_run

PAGE = Path(__file__).parents[2] / "docs" / "features.md"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"), ["a", "b", "c"], prepare=randomize_statistics)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp("pictures"), {"x": 11, "y": 4})


def features_in(path):
    with np.load(path) as found:
        return {name: found[name] for name in found}


def write(output, run, pictures, *flags):
    return exit_code_of(main, [str(pictures), f"--model={run}", f"--output={output}", *flags])


@pytest.fixture(scope="module")
def whole(run, pictures, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "features.npz"
    assert write(output, run, pictures, "--batch_size=4") == 0
    return output


def test_features_are_those_before_the_classifier_in_the_order_of_the_files(run, pictures, whole):
    found = features_in(whole)
    paths = sorted(map(str, pictures.rglob("*.jpg")))
    assert list(found["files"]) == paths and found["features"].dtype == np.float32
    loaded = inception_tf.load(run)
    head = loaded.model.get_layer("logits")
    logits = loaded.model.predict_on_batch(loaded.preprocess(paths))
    np.testing.assert_allclose(found["features"] @ head.kernel.numpy() + head.bias.numpy(), logits,
                               atol=1e-4)
    assert len(found["unreadable"]) == 0 and not os.path.exists(f"{whole}.parts")


def test_saved_model_gives_the_same_features(run, pictures, whole, tmp_path, capsys):
    folder, output = tmp_path / "exported", tmp_path / "o.npz"
    assert exit_code_of(export, [f"--model_dir={run}", f"--export_dir={folder}",
                                 "--check_images=0"]) == 0
    (tmp_path / "bad.png").touch()
    words = [str(tmp_path / "bad.png"), str(pictures), f"--model={folder}", f"--output={output}"]
    assert exit_code_of(main, words) == 6
    ours, theirs = features_in(output), features_in(whole)
    assert list(ours["files"]) == list(theirs["files"])
    spread = theirs["features"].std()
    np.testing.assert_allclose(ours["features"], theirs["features"], atol=1e-4 * spread)


def test_export_without_features_is_refused(monkeypatch):
    monkeypatch.setattr(features, "open_predictor", lambda path, which: Predictor(
        None, None, 0, ()))
    monkeypatch.setattr(features, "read_export_manifest", lambda path: {"kind": "onnx"})
    with pytest.raises(UsageError, match="export for onnx, which gives only"):
        features.open_embedder("there")


@pytest.fixture(autouse=True)
def logged(caplog):
    caplog.set_level(logging.INFO)


def stop_after(monkeypatch, batches):
    """The run ends without a word after so many batches, each of them a part."""
    monkeypatch.setattr(feature_file, "PART_SECONDS", 0.0)
    original, added = feature_file.FeatureFile.add, []

    def add(self, *batch):
        if len(added) == batches:
            raise SystemExit
        added.append(batch)
        original(self, *batch)

    monkeypatch.setattr(feature_file.FeatureFile, "add", add)
    return added


def test_run_that_was_killed_resumes_after_its_last_part_with_the_same_bytes(
        run, pictures, whole, tmp_path, monkeypatch, caplog):
    output = tmp_path / "o.npz"
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        stop_after(patch, 2)
        write(output, run, pictures, "--batch_size=4")
    assert not output.exists()
    (tmp_path / "o.npz.parts" / ".unfinished-00").write_bytes(b"half a part")
    with monkeypatch.context() as patch:
        added = stop_after(patch, 99)
        assert write(output, run, pictures, "--batch_size=4") == 0
    assert [len(batch[0]) for batch in added] == [4, 3]
    assert "resuming after 8 of 15 pictures" in caplog.text
    assert output.read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["o.npz"]


def test_damaged_part_is_made_again_with_those_behind_it(run, pictures, whole, tmp_path,
                                                         monkeypatch, caplog):
    output = tmp_path / "o.npz"
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        stop_after(patch, 3)
        write(output, run, pictures, "--batch_size=4")
    part = tmp_path / "o.npz.parts" / "000000000004.npz"
    part.write_bytes(part.read_bytes()[:-60])
    assert write(output, run, pictures, "--batch_size=4") == 0
    assert "resuming after 4 of 15" in caplog.text and part.name in caplog.text
    assert output.read_bytes() == whole.read_bytes()


def test_part_is_written_when_it_has_grown_so_that_memory_does_not(run, pictures, tmp_path,
                                                                   monkeypatch):
    monkeypatch.setattr(feature_file, "PART_BYTES", 1)
    monkeypatch.setattr(feature_file.FeatureFile, "complete", lambda self, paths: 0)
    assert write(tmp_path / "o.npz", run, pictures, "--batch_size=4") == 0
    parts = sorted((tmp_path / "o.npz.parts").glob("*.npz"))
    assert [int(part.stem) for part in parts] == [0, 4, 8, 12]


def test_unfinished_run_of_other_settings_is_refused_and_left(run, pictures, tmp_path, monkeypatch,
                                                              capsys):
    output = tmp_path / "o.npz"
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        stop_after(patch, 1)
        write(output, run, pictures, "--batch_size=4")
    before = sorted(path.name for path in (tmp_path / "o.npz.parts").iterdir())
    assert write(output, run, pictures, "--batch_size=5") == 2
    assert "batch_size 4, now 5" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "o.npz.parts").iterdir()) == before


def test_file_that_another_process_writes_is_refused(run, pictures, tmp_path, capsys):
    output = tmp_path / "o.npz"
    with feature_file.open_feature_file(str(output), {"pictures": 1}, 4):
        assert write(output, run, pictures) == 2
    assert "is being written by another process" in capsys.readouterr().err
    assert not output.exists()


def test_disk_without_room_is_refused_before_the_network_runs(run, pictures, tmp_path, capsys,
                                                              monkeypatch):
    monkeypatch.setattr(feature_file.shutil, "disk_usage", lambda path: (10**9, 10**9, 99))
    monkeypatch.setattr(features, "decoded_batches", None)
    assert write(tmp_path / "o.npz", run, pictures) == 4
    error = capsys.readouterr().err
    assert "o.npz' needs " in error and "99 are free" in error
    monkeypatch.undo()
    assert write(tmp_path / "o.npz", run, pictures, "--batch_size=5") == 0  # no part to keep to


def test_complete_file_is_left_as_it_is(run, pictures, whole, tmp_path, capsys):
    output = Path(shutil.copy(whole, tmp_path))
    assert write(output, run, pictures, "--batch_size=4") == 0
    assert "nothing to do" in capsys.readouterr().out
    for words, message in (([str(pictures), "--batch_size=5"], "batch_size 4, now 5"),
                           ([str(pictures / "x"), "--batch_size=4"], "pictures 15, now 11")):
        flags = [f"--model={run}", f"--output={output}"]
        assert exit_code_of(main, [*words, *flags]) == 2
        assert message in capsys.readouterr().err
    assert output.read_bytes() == whole.read_bytes()
    output.write_bytes(b"something else")
    assert write(output, run, pictures, "--batch_size=4") == 2
    assert "exists and holds no features" in capsys.readouterr().err
    assert output.read_bytes() == b"something else"


def test_unreadable_pictures_are_named_and_kept_apart(run, pictures, tmp_path, capsys):
    odd = os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg")
    shutil.copy(pictures / "y" / "class_0" / "000.jpg", odd)
    (tmp_path / "empty.png").touch()
    words = [str(tmp_path / "empty.png"), os.fsdecode(odd), str(pictures / "y")]
    output = tmp_path / "o.npz"
    for _ in range(2):  # the second time there is nothing to do
        assert exit_code_of(main, [*words, f"--model={run}", f"--output={output}"]) == 6
        assert "1 of 6 pictures could not be read" in capsys.readouterr().err
    found = features_in(output)
    assert list(found["unreadable"]) == [words[0]] and list(found["causes"]) == ["empty"]
    assert os.fsencode(found["files"][0]) == odd
    assert found["features"].shape == (5, found["features"].shape[1])


def test_list_of_pictures_is_taken_in_its_order(run, pictures, tmp_path, capsys):
    paths = sorted(map(str, pictures.rglob("*.jpg")))[::-4]
    names = tmp_path / "some.txt"
    # As editors on Windows write it.
    names.write_text("\ufeff" + "".join(f"{path}\r\n" for path in paths) + "\r\n", newline="")
    assert write(tmp_path / "o.npz", run, names) == 0
    assert list(features_in(tmp_path / "o.npz")["files"]) == paths
    names.write_text(f"{paths[0]}\nnowhere.jpg\n")
    assert write(tmp_path / "p.npz", run, names) == 2
    assert "some.txt, line 2: no file or folder 'nowhere.jpg'" in capsys.readouterr().err


@pytest.mark.parametrize("about", ["[]", "[" * 10**5, "{", '{"pictures": 1, "pictures": 2}'])
def test_damaged_description_is_one_line_and_everything_is_left(run, pictures, tmp_path, capsys,
                                                                about):
    output, parts = tmp_path / "o.npz", tmp_path / "p.npz.parts"
    np.savez(output, about=[about], unreadable=[])
    assert write(output, run, pictures) == 2
    assert "exists and holds no features" in capsys.readouterr().err
    parts.mkdir()
    (parts / "about.json").write_text(about)
    (parts / "000000000000.npz").write_text("a part")
    assert write(tmp_path / "p.npz", run, pictures) == 2
    assert re.search(f"is damaged.*: remove {parts} to begin again", capsys.readouterr().err)
    assert (parts / "000000000000.npz").read_text() == "a part"


def test_folder_or_file_of_others_beside_the_output_is_left(run, pictures, whole, tmp_path,
                                                            capsys):
    notes = tmp_path / "o.npz.parts" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    assert write(tmp_path / "o.npz", run, pictures) == 2
    assert "about.json: No such file" in capsys.readouterr().err
    shutil.copy(whole, tmp_path / "o.npz")
    assert write(tmp_path / "o.npz", run, pictures, "--batch_size=4") == 0
    assert notes.read_text() == "mine"
    (tmp_path / "p.npz.parts").write_text("mine")
    for name, words in (("p", "exists already"), ("n" * 249, "File name too long")):
        assert write(tmp_path / f"{name}.npz", run, pictures) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("words, message", [
    ([], "features needs pictures"),
    (["{pictures}", "--output=o.csv"], "name a file that ends in .npz"),
    (["{pictures}", "--output={tmp}/no/o.npz"], "no folder"),
    (["{pictures}", "--output={tmp}/d.npz"], "is no file"),
    (["{pictures}", "--batch_size=0"], "--batch_size=0 is below 1"),
    (["{pictures}", "--batch_size=100000000"], "--batch_size: a batch of 100,000,000 images"),
    (["{pictures}", "--model="], "--model is empty"),
    (["{pictures}", "--checkpoint=7"], "has no checkpoint of that step"),
    (["{tmp}/empty.txt"], "empty.txt names no picture"),
])
def test_bad_input_is_one_line(run, pictures, tmp_path, capsys, words, message):
    (tmp_path / "d.npz").mkdir()
    (tmp_path / "empty.txt").touch()
    filled = [word.format(tmp=tmp_path, pictures=pictures) for word in words]
    assert exit_code_of(main, [f"--model={run}", f"--output={tmp_path / 'o.npz'}", *filled]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and message in errors[0]
    assert not (tmp_path / "o.npz.parts").exists()


def test_example_of_the_docs_finds_the_picture_itself_first(whole, tmp_path, monkeypatch, capsys):
    shutil.copy(whole, tmp_path / "features.npz")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(code, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and lines[0] == f"1.000  {features_in(whole)['files'][0]}"
