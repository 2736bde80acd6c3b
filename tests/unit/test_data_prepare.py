"""`inception-tf prepare`: what is checked before, and ImageNet through its real builder."""

import collections
import dataclasses
import logging
import os
import shutil
import tarfile

import pytest
import tensorflow_datasets as tfds

from inception_tf.config import Data
from inception_tf.data.archives import SIZES
from inception_tf.data.batches import training_batches
from inception_tf.data.open import open_source
from inception_tf.data.prepare import prepare
from inception_tf.errors import DataError, StorageError, UsageError
from tests import imagenet_miniature as miniature

TRAIN, VALIDATION = SIZES


@pytest.fixture(scope="module")
def tars(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tars")
    return folder, miniature.write_archives(folder)


@pytest.fixture
def imagenet(tars, tmp_path):
    """config.Data of miniature ImageNet with a data_dir of its own."""
    return Data(dataset="imagenet2012", data_dir=str(tmp_path / "data"), manual_dir=str(tars[0]))


@pytest.fixture(scope="module", params=["array_record", "tfrecord"])
def prepared(request, tars, tmp_path_factory):
    """config.Data over ImageNet prepared by us, and over what TFDS alone writes by default."""
    data_dir = tmp_path_factory.mktemp(request.param)
    data = Data(dataset="imagenet2012", data_dir=str(data_dir), manual_dir=str(tars[0]))
    if request.param == "array_record":
        prepare(data)
    else:
        builder = tfds.builder("imagenet2012", data_dir=data_dir)
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=tars[0]))
    return data


def _file_name(example_id):
    return example_id.split("(")[1].rstrip(")")


def test_imagenet_through_its_tfds_builder_has_the_labels_of_its_synsets(prepared, tars):
    train = open_source(prepared, "train")
    found = {_file_name(r.example_id): r.label for r in map(train.read, range(100))}
    assert found == tars[1] and train.num_examples == 100
    assert train.num_classes == 1000 and train.class_names[0] == "n01440764"
    validation = open_source(prepared, "validation")
    expected = miniature.validation_labels()
    for record in map(validation.read, range(validation.num_examples)):
        assert record.label == expected[_file_name(record.example_id)]


def test_imagenet_batches_carry_the_labels_of_their_records(prepared):
    source = open_source(prepared, "train")
    stream = training_batches(source, prepared, image_size=75, num_classes=1000, seed=0,
                              label_offset=1, batch_size=20)
    batch = next(stream)
    stream.close()
    labels = [source.read(int(i)).label + 1 for i in batch["index"]]
    assert batch["label"].numpy().tolist() == labels


def test_prepare_again_changes_nothing(prepared, caplog):
    def files():
        return {path: os.stat(path).st_mtime_ns
                for folder, _, names in os.walk(prepared.data_dir)
                for path in (os.path.join(folder, n) for n in names)}

    before = files()
    with caplog.at_level(logging.INFO):
        prepare(prepared)
    assert files() == before
    assert "is ready" in caplog.text and "train 100, validation 20" in caplog.text


def test_missing_tars_log_the_tree_that_was_expected(imagenet, tmp_path, caplog):
    (tmp_path / "manual").mkdir()
    (tmp_path / "manual" / "ILSVRC2012_img_train.tar.part").write_text("")
    data = Data(dataset="imagenet2012", data_dir=imagenet.data_dir,
                manual_dir=str(tmp_path / "manual"))
    with pytest.raises(UsageError, match=f"neither {TRAIN} nor {VALIDATION} in --manual_dir="):
        prepare(data)
    assert TRAIN in caplog.text and VALIDATION in caplog.text
    assert "found there: ILSVRC2012_img_train.tar.part" in caplog.text


def test_small_tars_are_warned_about_and_prepared(imagenet, caplog):
    with caplog.at_level(logging.WARNING):
        prepare(imagenet)
    assert "ILSVRC-2012's has 147897477120" in caplog.text
    assert open_source(imagenet, "train").num_examples == 100


@pytest.mark.parametrize("damage,words", [
    (lambda content: content[: len(content) // 2], "is cut after"),
    (lambda content: content[: len(content) // 2 - 5120], "is "),
    (lambda content: content.rstrip(b"\0"), "is "),
    (lambda content: b"<html>" + content[6:], "is not a readable tar"),
    (lambda content: b"", "is not a readable tar"),
    (lambda content: bytes(10240), "is not a readable tar"),
])
def test_damaged_tar_is_refused_before_anything_is_written(imagenet, tmp_path, damage, words):
    manual = tmp_path / "manual"
    shutil.copytree(imagenet.manual_dir, manual)
    (manual / TRAIN).write_bytes(damage((manual / TRAIN).read_bytes()))
    data = Data(dataset="imagenet2012", data_dir=imagenet.data_dir, manual_dir=str(manual))
    with pytest.raises(DataError, match=f"{TRAIN} {words}"):
        prepare(data)
    assert not os.path.exists(imagenet.data_dir)


def _member(name, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("members", [
    [_member("../escape.tar")],
    [_member("/absolute.tar")],
    [_member("n01440764.tar", tarfile.SYMTYPE, "/tmp")],
    [_member("n01440764.tar", tarfile.LNKTYPE, "../escape")],
    [_member("folder", tarfile.DIRTYPE)],
    [_member("n01440764.tar"), _member("n01440764.tar")],
], ids=["parent", "absolute", "symlink", "hard link", "folder", "twice"])
def test_f43_archive_with_odd_members_is_refused_before_anything_is_written(imagenet, tmp_path,
                                                                           members):
    manual = tmp_path / "tars"
    manual.mkdir()
    with tarfile.open(manual / "ILSVRC2012_img_train.tar", "w") as archive:
        for member in members:
            archive.addfile(member)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="not ILSVRC's archive"):
        prepare(dataclasses.replace(imagenet, manual_dir=str(manual)))
    assert sorted(tmp_path.rglob("*")) == before


def test_validation_tar_alone_is_prepared_and_says_what_is_missing(imagenet, tmp_path, caplog):
    manual = tmp_path / "manual"
    shutil.copytree(imagenet.manual_dir, manual, ignore=shutil.ignore_patterns(TRAIN))
    data = Data(dataset="imagenet2012", data_dir=imagenet.data_dir, manual_dir=str(manual))
    with caplog.at_level(logging.WARNING):
        prepare(data)
    assert f"{TRAIN} is missing: only the other split will be prepared" in caplog.text
    assert open_source(data, "validation").num_examples == 20
    with pytest.raises(UsageError, match=r"no split 'train'; splits: validation \(20\)"):
        open_source(data, "train")
    with pytest.raises(UsageError, match="was prepared without .*remove that folder"):
        prepare(imagenet)


def test_too_little_disk_names_what_is_needed_and_free(imagenet, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")(10**6, 0, 10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(StorageError, match="0.0 GiB free, writing needs 0.0 GiB") as raised:
        prepare(imagenet)
    assert raised.value.exit_code == 4 and not os.path.exists(imagenet.data_dir)


def test_another_process_that_was_faster_is_no_error(imagenet, monkeypatch):
    """Two runs started together both find the set unprepared."""
    write = tfds.core.DatasetBuilder.download_and_prepare

    def beaten(self, **settings):
        write(self, **settings)
        raise OSError("Directory not empty")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", beaten)
    prepare(imagenet)
    assert open_source(imagenet, "validation").num_examples == 20


@pytest.mark.parametrize("raised,error,words", [
    (PermissionError(13, "Permission denied"), StorageError, "cannot be written.*denied"),
    (AssertionError("Manual directory\ndoes not exist"), UsageError, "--manual_dir: Manual"),
    (RuntimeError("no route to host"), DataError, "could not be prepared: no route to host"),
])
def test_failures_of_tfds_become_one_line(imagenet, monkeypatch, raised, error, words):
    def fail(self, **settings):
        raise raised

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(error, match=words) as caught:
        prepare(imagenet)
    assert "\n" not in str(caught.value)


def test_folder_is_only_counted(tmp_path, caplog):
    for split in ("train", "validation"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "1.jpg").write_bytes(b"not empty")
    with caplog.at_level(logging.INFO):
        prepare(Data(dataset="folder", data_dir=str(tmp_path)))
    assert "/train: 2 images in 2 classes" in caplog.text
