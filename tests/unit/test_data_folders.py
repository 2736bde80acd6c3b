"""Odd folders of pictures: counted and said, or refused; one rule for training and predict."""

import importlib
import logging
import os
import shutil
import socket
import time

import pytest

from inception_tf.commands.predict import main as predict
from inception_tf.commands.shell import exit_code_of
from inception_tf.config import Data
from inception_tf.data import pictures
from inception_tf.data.open import open_source
from inception_tf.errors import DataError
from inception_tf.serving.predictor import image_paths
from tests.bad_images import jpeg

CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def photos(tmp_path):
    """DIR/{train,validation}/{ant,bee,cat}/{0,1}.jpg."""
    for split in ("train", "validation"):
        for name in CLASSES:
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(2):
                (tmp_path / split / name / f"{i}.jpg").write_bytes(jpeg(seed=i))
    return tmp_path


def opened(photos, split="train", **settings):
    return open_source(Data(dataset="folder", data_dir=str(photos), **settings), split)


def summary_of(photos, caplog, split="train", **settings):
    with caplog.at_level(logging.INFO, "inception_tf"):
        source = opened(photos, split, **settings)
    (record,) = caplog.records
    return source, record.getMessage(), record.levelname


def empty(folder, name="ant"):
    for path in (folder / name).iterdir():
        path.unlink()


def test_f66_summary_says_images_in_classes_in_one_line(photos, caplog):
    (photos / "train/cat/2.jpg").write_bytes(jpeg())
    _, line, level = summary_of(photos, caplog)
    assert line == f"{photos}/train: 7 images in 3 classes (2 to 3 each, median 2)"
    assert level == "INFO"


def test_f66_files_that_are_no_pictures_are_counted_by_reason(photos, caplog):
    ant = photos / "train/ant"
    for name in ("._0.jpg", "a.txt", "b.TXT", "c.heic", "d.tif", "README"):
        (ant / name).write_bytes(jpeg())
    os.mkfifo(ant / "fifo.jpg")
    (ant / "endless.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(ant / "socket.png"))
    (photos / "train" / "loose.jpg").write_bytes(jpeg())
    source, line, level = summary_of(photos, caplog)
    assert source.num_examples == 6 and level == "INFO"
    assert line.partition("; ")[2] == (
        "skipped 10: 3 FIFO, socket or device, 2 .txt, 1 .heic, 1 .tif, 1 hidden, "
        "1 outside a class folder, 1 others")


def test_f66_folders_of_systems_are_no_classes_and_hold_no_pictures(photos, caplog):
    for name in ("__MACOSX", "@eaDir", "lost+found", ".thumbnails", "$RECYCLE.BIN"):
        for place in ("train", "train/ant"):
            (photos / place / name).mkdir()
            (photos / place / name / "0.jpg").write_bytes(jpeg())
    source, line, _ = summary_of(photos, caplog)
    assert source.class_names == CLASSES and source.num_examples == 6
    assert line.endswith("; skipped 10: 8 of the system, 2 hidden")


def test_f66_pictures_at_any_depth_belong_to_their_class(photos, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "far.jpg").write_bytes(jpeg(seed=7))
    (photos / "train/bee/2019/may").mkdir(parents=True)
    (photos / "train/bee/2019/may/x.jpg").write_bytes(jpeg(seed=5))
    (photos / "train/bee/folder.jpg").mkdir()
    (photos / "train/bee/linked").symlink_to(elsewhere)
    (photos / "train/bee/again").symlink_to("2019")
    (photos / "train/bee/3.jpg").symlink_to("0.jpg")
    source = opened(photos)
    records = [source.read(i) for i in range(source.num_examples)]
    assert [r.example_id for r in records if r.label == 1] == [
        f"train/bee/{name}" for name in
        ("0.jpg", "1.jpg", "2019/may/x.jpg", "3.jpg", "linked/far.jpg")]
    assert [records[i].encoded for i in (4, 6)] == [jpeg(seed=5), jpeg(seed=7)]


@pytest.mark.parametrize("split, train_split", [("train", "train"), ("validation", "validation")])
def test_f66_class_without_pictures_is_refused_unless_allowed(photos, caplog, split, train_split):
    empty(photos / split)
    (photos / split / "ant" / "0.heic").write_bytes(jpeg())
    with pytest.raises(DataError, match=r"1 of 3 classes have no picture \(.*\): ant; skipped 1: "
                                        "1 .heic; add some, .* --allow_empty_classes"):
        opened(photos, split, train_split=train_split)
    source, line, level = summary_of(photos, caplog, split, train_split=train_split,
                                     allow_empty_classes=True)
    assert source.class_names == CLASSES and source.num_examples == 4
    assert "4 images in 2 classes (2 to 2 each, median 2); 1 without images: ant;" in line
    assert level == "WARNING"


def test_f66_scored_split_alone_may_lack_a_class(photos, caplog):
    """Its classes are compared with the network's; nothing is learned from it."""
    shutil.rmtree(photos / "train")
    empty(photos / "validation")
    source, line, level = summary_of(photos, caplog, "validation")
    assert source.class_names == CLASSES and level == "WARNING" and "without images: ant" in line


@pytest.mark.parametrize("command", ["train", "prepare", "eval", "average", "inspect"])
def test_f66_commands_that_open_a_training_split_take_the_flag_it_names(command, capsys):
    module = importlib.import_module(f"inception_tf.commands.{command}")
    with pytest.raises(SystemExit):
        module.main(["--help"])
    assert "--[no]allow_empty_classes" in capsys.readouterr().out


def test_f66_class_of_empty_files_is_an_empty_class_and_one_such_file_a_bad_picture(photos, caplog):
    (photos / "train/ant/0.jpg").write_bytes(b"")
    source, line, level = summary_of(photos, caplog)
    assert source.num_examples == 6 and "; 1 of 0 bytes, which count as bad" in line
    assert level == "WARNING"
    (photos / "train/ant/1.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="have no picture .*: ant; add"):
        opened(photos)


def test_f66_scored_split_that_lacks_a_class_says_so(photos, caplog):
    empty(photos / "validation")
    source, line, level = summary_of(photos, caplog, "validation")
    assert source.class_names == CLASSES and level == "WARNING"
    assert "4 images in 2 classes (2 to 2 each, median 2); 1 without images: ant" in line


@pytest.mark.parametrize("kept", [(), ("cat",)])
def test_f66_less_than_two_classes_are_refused(photos, kept):
    for name in set(CLASSES) - set(kept):
        empty(photos / "train", name)
        (photos / "train" / name).rmdir()
    (photos / "train/1.jpg").write_bytes(jpeg())
    listed = ", ".join(kept) or "none"
    for allowed in (False, True):
        with pytest.raises(DataError, match="at least 2 are needed; there: "
                                            f"{listed}; skipped 1: 1 outside a class folder"):
            opened(photos, allow_empty_classes=allowed)


@pytest.mark.parametrize("link, target, why", [
    ("train/ant/x.jpg", "nowhere", "a link to nothing"),
    ("train/ant/x", "nowhere", "a link to nothing"),
    ("train/dog", "/nowhere", "a link to nothing"),
    ("train/ant/x.jpg", "x.jpg", "a link that leads back to itself"),
    ("train/dog", "dog", "a link that leads back to itself"),
    ("train/ant/up", "..", "a link back to a folder above it"),
    ("train/ant/self", ".", "a link back to a folder above it"),
    ("train/dog", "..", "a link back to a folder above it"),
    ("train/dog\x1b[31m\n", ".", "a link back to a folder above it"),
])
def test_f66_broken_or_looping_link_is_named_in_one_line(photos, link, target, why):
    (photos / link).symlink_to(target)
    with pytest.raises(DataError) as raised:
        opened(photos)
    shown = link.replace("\x1b", r"\x1b").replace("\n", r"\n")
    assert str(raised.value) == f"{photos}/{shown}: {why}; restore or remove it"


def test_f66_links_that_lead_round_through_other_folders_end(photos, tmp_path_factory):
    one, other = (tmp_path_factory.mktemp(name) for name in ("one", "other"))
    (one / "x").symlink_to(other)
    (other / "y").symlink_to(one)
    (photos / "train/ant/z").symlink_to(one)
    with pytest.raises(DataError, match="train/ant/z/x/y: a link back to a folder above it"):
        opened(photos)


def unreadable(monkeypatch, name):
    """Makes folders called `name` unreadable, for whom the system would let read: root."""
    scandir = os.scandir

    def refusing(path):
        if os.path.basename(os.path.normpath(path)) == name:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)


@pytest.mark.parametrize("name, shown", [("inner", "train/ant/inner"), ("ant", "train/ant"),
                                         ("train", "train")])
def test_f66_unreadable_folder_is_named(photos, monkeypatch, name, shown):
    (photos / "train/ant/inner").mkdir()
    unreadable(monkeypatch, name)
    with pytest.raises(DataError, match=f"{photos}/{shown}: Permission denied"):
        opened(photos)


def test_f66_predict_and_training_take_the_same_files(photos):
    ant = photos / "train/ant"
    for name in ("._0.jpg", "a.txt", "x.webp", "deep/y.jfif", "__MACOSX/0.jpg", "z.jpg/0.png"):
        (ant / name).parent.mkdir(exist_ok=True)
        (ant / name).write_bytes(jpeg())
    os.mkfifo(ant / "f.jpg")
    source = opened(photos)
    ids = [source.describe(i) for i in range(source.num_examples)]
    assert [f"{photos}/{i}" for i in ids] == image_paths([str(photos / "train")])
    assert "train/ant/deep/y.jfif" in ids and "train/ant/z.jpg/0.png" in ids and len(ids) == 9


def test_f66_predict_keeps_what_it_cannot_look_into_among_its_paths(photos, monkeypatch):
    """Each then fails in its turn, with its reason, and the command ends with 6."""
    (photos / "train/ant/inner").mkdir()
    (photos / "train/ant/gone.jpg").symlink_to("nowhere")
    (photos / "train/ant/up").symlink_to("..")
    unreadable(monkeypatch, "inner")
    reasons = {}
    for path in image_paths([str(photos / "train/ant")]):
        try:
            pictures.read_picture(path)
        except OSError as error:
            reasons[os.path.basename(path)] = error.strerror
    assert reasons == {"gone.jpg": "a link to nothing", "inner": "Permission denied",
                       "up": "a link back to a folder above it"}


def test_f66_predict_on_a_folder_without_pictures_says_what_it_has(photos, capsys):
    (photos / "only").mkdir()
    (photos / "only/a.heic").write_bytes(jpeg())
    assert exit_code_of(predict, [str(photos / "only"), "--model=runs/none"]) == 2
    assert "file; skipped 1: 1 .heic" in capsys.readouterr().err


def test_f66_file_that_became_a_fifo_or_endless_is_not_waited_for(photos, monkeypatch):
    monkeypatch.setattr("inception_tf.data.sources.RETRY_SECONDS", ())
    source = opened(photos)
    path = photos / "train/ant/0.jpg"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="train/ant/0.jpg cannot be read: .*a FIFO, socket or"):
        source.read(0)
    path.unlink()
    path.touch()
    os.truncate(path, 10**11)
    with pytest.raises(DataError, match="100,000,000,000 bytes; at most"):
        source.read(0)


def test_fingerprint_of_a_plain_folder_is_that_of_earlier_versions(tmp_path):
    """What a run of an earlier version saved must still fit: it is compared on resuming."""
    for name in ("ant", "Bee", "\udcf6x", "zoo"):
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        for i in range(3):
            (folder / f"{i}.JPG").write_bytes(b"x" * (i + 1))
        (folder / ".h.jpg").touch()
        (folder / "n.txt").touch()
    assert opened(tmp_path).fingerprint == (
        "8bfa071bf2760a8785af27ef8f57f7ba1d9f3eebffef2425b6ae3a5da4d9143d")


def test_twenty_thousand_files_are_listed_within_seconds(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for i in range(10_000):
            (tmp_path / "train" / name / f"{i}.jpg").symlink_to("/etc/passwd")
    start = time.process_time()
    assert opened(tmp_path).num_examples == 20_000
    assert time.process_time() - start < 5
