"""What a run does when its folder goes away or is damaged, and what its scorings leave behind."""

import os
import shutil
from pathlib import Path

import pytest

from inception_tf.config import preset
from inception_tf.errors import StorageError, UsageError
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import LOCK
from inception_tf.training.loop import Run, train
from inception_tf.training.records import FolderRecords
from tests.hooked import small_network
from tests.pictures import write_image_folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp("images"), {"train": 8, "validation": 9})


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inception_tf.training.setup.build_network", small_network)
        yield


def _config(images, folder):
    """An update, a checkpoint and a scoring an epoch."""
    return preset("tiny").replace(
        dataset="folder", data_dir=str(images), model_dir=str(folder), max_steps=4, epochs=9.0,
        log_every_steps=1, eval_every_epochs=1.0, checkpoint_every_epochs=1.0)


@pytest.fixture
def config(images, tmp_path):
    return _config(images, tmp_path / "run")


@pytest.fixture(scope="module")
def half(images, tmp_path_factory):
    """A run's folder after two steps of four."""
    folder = tmp_path_factory.mktemp("half")
    train(_config(images, folder).replace(max_steps=2))
    return folder


def _after(monkeypatch, owner, name, act, call):
    """`act` once, after that call of a method."""
    original, calls = getattr(owner, name), []

    def wrapped(*args, **kwargs):
        result = original(*args, **kwargs)
        calls.append(1)
        if len(calls) == call:
            act()
        return result

    monkeypatch.setattr(owner, name, wrapped)


def _complaints(caplog):
    return [r.getMessage() for r in caplog.records
            if r.name.startswith("inception_tf") and r.levelname in ("WARNING", "ERROR")]


def _move(folder):
    folder.rename(folder.parent / "moved")


def _give_to_another(folder):
    _move(folder)
    folder.mkdir()
    (folder / LOCK).write_text("of another run")


def _remove(folder):
    while folder.exists():  # a checkpoint may just be written into it
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("owner, name, call, end", [
    (Run, "_advance", 2, _remove), (Run, "save", 2, _move), (Run, "save", 4, _move),
    (Run, "score", 2, _give_to_another), (Run, "score", 4, _remove)])
def test_f60_removed_or_moved_folder_ends_with_4_and_is_not_made_again(
        config, monkeypatch, caplog, owner, name, call, end):
    folder = Path(config.runtime.model_dir)
    _after(monkeypatch, owner, name, lambda: end(folder), call)
    with pytest.raises(StorageError, match="was removed or moved away"):
        train(config.replace(profile_steps="1-4" if name == "_advance" else ""))
    assert not folder.exists() or os.listdir(folder) == [LOCK]
    assert not _complaints(caplog)


def test_f60_removed_checkpoints_end_with_4_and_are_not_made_again(config, monkeypatch, caplog):
    root = Path(config.runtime.model_dir) / "checkpoints"
    _after(monkeypatch, Run, "score", lambda: shutil.rmtree(root), 2)
    with pytest.raises(StorageError, match="checkpoints was removed or moved away"):
        train(config)
    assert not root.exists() and not (root.parent / LOCK).exists()
    assert not _complaints(caplog)


def test_f60_interrupted_run_whose_folder_is_gone_ends_with_4(config, monkeypatch):
    from inception_tf.runtime.signals import Interrupted

    def interrupt():
        shutil.rmtree(config.runtime.model_dir)
        raise Interrupted(15)

    _after(monkeypatch, FolderRecords, "log", interrupt, 2)
    with pytest.raises(StorageError, match="was removed or moved away"):
        train(config)
    assert not Path(config.runtime.model_dir).exists()


@pytest.mark.parametrize("file, old, new, message", [
    ("train/metrics.csv", b"\r\n2,", b"\r\n2;", "metrics.csv is damaged, line 3: "),
    ("train/metrics.csv", b"loss", b"lozz", "metrics.csv is damaged, line 1: the columns are"),
    ("validation/metrics.csv", b"raw", b"\xffaw", "line 1: byte 0xff is no UTF-8"),
    ("config.json", b"{", b"\xef\xbb\xbf{", "config.json is damaged: Unexpected UTF-8 BOM"),
    ("config.json", b"epochs", b"ep\xffchs", "config.json is damaged: 'utf-8' codec"),
    ("config.json", b'"seed": 0', b'"seed": 0, "seed": 0', "a key is there twice"),
    ("config.json", b"}", b"", "config.json is damaged: "),
])
def test_f62_damaged_file_refuses_to_resume_and_nothing_is_touched(config, half, file, old, new,
                                                                   message):
    folder = Path(shutil.copytree(half, config.runtime.model_dir))
    (folder / file).write_bytes((folder / file).read_bytes().replace(old, new, 1))
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match=message):
        train(config)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_f62_curve_that_cannot_be_drawn_is_said_once_and_ends_no_run(config, monkeypatch, caplog):
    metrics = Path(config.runtime.model_dir) / "train" / "metrics.csv"
    _after(monkeypatch, FolderRecords, "log",
           lambda: metrics.write_bytes(metrics.read_bytes() + b"half a \xff line\r\n"), 1)
    train(config)
    assert checkpoint.steps(metrics.parents[1] / "checkpoints")[-1] == 4
    warnings = _complaints(caplog)
    assert len(warnings) == 1 and "curves not drawn, training continues: " in warnings[0]
    assert "no UTF-8" in warnings[0]


def test_f52_scorings_leave_no_thread_and_no_descriptor(config, monkeypatch):
    seen = []
    original = Run.score

    def score(run):
        scores = original(run)
        seen.append([len(os.listdir(f"/proc/self/{what}")) for what in ("task", "fd")])
        return scores

    monkeypatch.setattr(Run, "score", score)
    monkeypatch.setattr("inception_tf.training.records.draw_curves", lambda *_: None)
    train(config.replace(max_steps=8, checkpoint_every_epochs=0))
    assert len(seen) == 8 and seen[3:] == [seen[2]] * 5
