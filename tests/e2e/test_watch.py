"""eval --watch on folders to which checkpoints are added and from which they go, in one process."""

import fcntl
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import inception_tf.evaluation.watch as watching
from inception_tf.commands import eval as command
from inception_tf.commands.shell import exit_code_of
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import CHECKPOINTS
from tests import runs
from tests.hooked import small_network
from tests.pictures import write_image_folder

NUM = 13
LAST = 30


@pytest.fixture(scope="module")
def small():
    """Networks that are traced in a second."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("inception_tf.evaluation.members", "tests.runs"):
            patch.setattr(f"{module}.build_network", small_network)
        yield


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    """A run's folder with checkpoints of steps 1, 10, 20 and 30, the last."""
    root = tmp_path_factory.mktemp("whole")
    images = write_image_folder(root / "images", {"train": 5, "validation": NUM})
    folder = runs.write_run(root / "run", [f"class_{k}" for k in range(5)], dataset="folder",
                            data_dir=str(images))
    arrays, manifest = checkpoint.load(folder / CHECKPOINTS, 1)
    manifest = {k: v for k, v in manifest.items() if k not in ("step", "files", "sha256")}
    for step in (10, 20, LAST):
        changed = {name: a + np.float32(0.01 * step) for name, a in arrays.items()}
        checkpoint.save(folder / CHECKPOINTS, step, changed, {**manifest, "last_step": LAST})
    return folder


class Run:
    """A copy of the run in which only some checkpoints are there yet."""

    def __init__(self, whole, folder, *steps):
        self.whole, self.folder = whole, folder
        folder.mkdir()
        shutil.copy(whole / "config.json", folder)
        self.add(*steps)

    def add(self, *steps):
        for step in steps:
            shutil.copytree(checkpoint.folder_of(self.whole / CHECKPOINTS, step), self.at(step))

    def at(self, step):
        return checkpoint.folder_of(self.folder / CHECKPOINTS, step)

    def watch(self, *words):
        return exit_code_of(command.main, ["--watch", f"--model_dir={self.folder}", *words])

    def record(self):
        (path,) = self.folder.glob("watch/*/scores.jsonl")
        return path

    def rows(self):
        return [json.loads(line) for line in self.record().read_text().splitlines()]


@pytest.fixture
def run(whole, tmp_path):
    return Run(whole, tmp_path / "run", 1, 10)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """A watch that waits for what does not come fails instead."""
    during(monkeypatch)


def during(monkeypatch, *events):
    """Makes each pause of a watch do the next of `events`; a pause too many fails."""
    left = list(events)
    monkeypatch.setattr(watching.Watch, "_pause", lambda self: left.pop(0)())


def test_every_checkpoint_is_scored_once_until_the_last(run, monkeypatch, capsys):
    during(monkeypatch, lambda: None, lambda: run.add(20), lambda: run.add(LAST))
    assert run.watch() == 0
    assert [row["step"] for row in run.rows()] == [1, 10, 20, LAST]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["1", "10", "20", str(LAST)]
    assert all("top-1 error" in line and f"{NUM} images" in line for line in lines)
    assert list(run.record().parent.glob("events.*"))


def test_scores_are_those_of_an_eval_of_that_checkpoint(run, monkeypatch, tmp_path):
    during(monkeypatch, lambda: run.add(20, LAST))
    words = ["--weights=raw", "--strategy=mirrored"]
    assert run.watch(*words) == 0
    exit_code_of(command.main, [f"--model_dir={run.folder}", *words, f"--output={tmp_path}/r.json"])
    (expected,) = json.loads((tmp_path / "r.json").read_text())["rows"]
    found = run.rows()[-1]
    for name in ("top1_error", "top5_error", "cross_entropy", "calibration_error", "num_examples"):
        assert found[name] == expected[name]
    assert len({row["cross_entropy"] for row in run.rows()}) == 4  # each had its own weights


def test_restarted_watch_goes_on_with_what_is_new(run, monkeypatch, capsys):
    def killed():
        raise KeyboardInterrupt

    during(monkeypatch, killed)
    with pytest.raises(KeyboardInterrupt):
        run.watch()
    with open(run.record(), "a") as file:
        file.write('{"step": 20, "checkp')  # as a kill within a write leaves it
    run.add(20, LAST)
    capsys.readouterr()
    assert run.watch() == 0
    assert [row["step"] for row in run.rows()] == [1, 10, 20, LAST]
    assert len(capsys.readouterr().out.splitlines()) == 2
    before = run.record().read_bytes()
    assert run.watch() == 0 and run.record().read_bytes() == before


def test_another_scoring_of_the_run_has_its_own_record(run):
    shutil.rmtree(run.at(1))
    run.add(LAST)
    (run.folder / "out.txt").write_text("000.jpg\n")
    assert run.watch() == run.watch(f"--exclude={run.folder}/out.txt") == 0
    counts = {json.loads(path.read_text().splitlines()[0])["num_examples"]
              for path in run.folder.glob("watch/*/scores.jsonl")}
    assert counts == {NUM, NUM - 1}


def test_checkpoint_that_goes_or_is_damaged_costs_one_line(run, monkeypatch, caplog):
    load = checkpoint.load_checked

    def deleted_before(root, step):
        if step == 1:
            shutil.rmtree(run.at(1))
        return load(root, step)

    monkeypatch.setattr(checkpoint, "load_checked", deleted_before)
    (run.at(10) / checkpoint.ARRAYS).write_bytes(b"")
    during(monkeypatch, lambda: None, lambda: run.add(LAST))
    assert run.watch() == 0
    assert [row["step"] for row in run.rows()] == [LAST]
    skipped = [r.getMessage() for r in caplog.records if "skipped" in r.getMessage()]
    assert len(skipped) == 2
    assert skipped[0] == "checkpoint of step 1 skipped: deleted before it was scored"
    assert "has 0 bytes" in skipped[1]


def test_weights_that_were_never_trained_are_scored_and_all_is_done(whole, tmp_path):
    run = Run(whole, tmp_path / "run")
    arrays, manifest = checkpoint.load(whole / CHECKPOINTS, 1)
    facts = {name: manifest[name] for name in ("config", "class_names")}
    checkpoint.save(run.folder / CHECKPOINTS, 1, arrays, {**facts, "origin": "converted"})
    assert run.watch() == 0 and len(run.rows()) == 1


def test_second_watch_is_refused(run, capsys):
    shutil.rmtree(run.at(1))
    run.add(LAST)
    assert run.watch() == 0
    with open(run.record(), "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert run.watch() == 2
    assert "one --watch is enough" in capsys.readouterr().err
    run.record().write_text("holidays\n")
    assert run.watch() == 2
    assert "no scores: move it away" in capsys.readouterr().err


@pytest.mark.parametrize("words, message", [
    (["--predictions=p"], "--predictions has no use"),
    (["--output=r"], "--output has no use"),
    (["--report=r"], "--report has no use"),
    (["--model_dir=a,b"], "name one --model_dir"),
    (["--model_dir=nowhere", "--startup_timeout_s=1"], "no config.json there"),
])
def test_mistake_is_one_line_with_code_2(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert exit_code_of(command.main, ["--watch", *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line and not list(Path().iterdir())
