"""Sources: TFDS sets in both formats, folders, and what users get wrong."""

import dataclasses
import os
import resource
import shutil

import numpy as np
import pytest

from inception_tf.config import Data
from inception_tf.data import shards
from inception_tf.data.open import open_source
from inception_tf.errors import DataError, UsageError
from tests.bad_images import encode, jpeg, pixels
from tests.small_tfds import write_small_set

FORMATS = ("array_record", "tfrecord")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """{format: config.Data of the small TFDS set}."""
    folders = {name: tmp_path_factory.mktemp(name) for name in FORMATS}
    for name, folder in folders.items():
        write_small_set(folder, name)
    return {name: Data(dataset="small", data_dir=str(f)) for name, f in folders.items()}


@pytest.fixture
def folder(tmp_path):
    """config.Data of a folder with two classes, a hidden file and a text among the images."""
    for split, count in (("train", 3), ("validation", 2)):
        for name in ("cat", "dog"):
            place = tmp_path / split / name
            place.mkdir(parents=True)
            for i in range(count):
                (place / f"{i}.jpg").write_bytes(jpeg(seed=i))
    (tmp_path / "train" / "cat" / "3.PNG").write_bytes(encode(pixels(), "PNG"))
    (tmp_path / "train" / "cat" / ".4.jpg").write_text("left by an editor")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not an image")
    return Data(dataset="folder", data_dir=str(tmp_path))


def _records(data, split="train"):
    source = open_source(data, split)
    return source, [source.read(i) for i in range(source.num_examples)]


@pytest.mark.parametrize("file_format", FORMATS)
def test_tfds_set_gives_its_stored_bytes_labels_and_names(small, file_format):
    source, records = _records(small[file_format])
    assert source.class_names == ("ant", "bee", "cat", "dog") and source.num_classes == 4
    expected = {jpeg(seed=i): i % 4 for i in range(12)}
    assert {r.encoded: r.label for r in records} == expected
    assert [r.example_id for r in records] == [f"small/train#{i}" for i in range(12)]


def test_both_formats_hold_the_same_records_in_the_same_order(small):
    assert _records(small["array_record"])[1] == _records(small["tfrecord"])[1]


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("split,kept", [("train[:25%]", range(3)), ("train[5:9]", range(5, 9)),
                                        ("train[10:]+validation", None)])
def test_split_syntax_of_tfds_is_understood(small, file_format, split, kept):
    whole = [r.encoded for r in _records(small[file_format])[1]]
    part = [r.encoded for r in _records(small[file_format], split)[1]]
    if kept is None:
        kept_bytes = whole[10:] + [r.encoded
                                   for r in _records(small[file_format], "validation")[1]]
    else:
        kept_bytes = [whole[i] for i in kept]
    assert part == kept_bytes


def test_name_with_version_finds_the_same_set(small):
    data = dataclasses.replace(small["tfrecord"], dataset="small:1.2.3")
    assert len(_records(data)[1]) == 12


def test_records_are_read_from_many_threads_as_from_one(small):
    from concurrent.futures import ThreadPoolExecutor

    for data in small.values():
        source, alone = _records(data)
        indices = np.random.default_rng(0).integers(0, 12, 400)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(source.read, indices)) == [alone[i] for i in indices]


@pytest.mark.parametrize("damage", [
    b"", b"no array", "fifo", np.zeros((), np.int64), np.zeros((2, 2), np.int64), np.zeros(0),
    np.arange(7, dtype=np.float32), np.arange(7), np.array([0, 9, 5, 7])])
def test_damaged_index_of_tfrecord_offsets_is_made_again(small, tmp_path, damage):
    shutil.copytree(small["tfrecord"].data_dir, tmp_path / "data")
    data = dataclasses.replace(small["tfrecord"], data_dir=str(tmp_path / "data"))
    expected = _records(data)[1]
    for path in (tmp_path / "data").rglob(".record_offsets/*train*"):
        path.unlink()
        if isinstance(damage, np.ndarray):
            np.save(path, damage)
        elif damage == "fifo":
            os.mkfifo(path)
        else:
            path.write_bytes(damage)
    assert _records(data)[1] == expected


def test_fingerprint_tells_data_apart_and_stays(small, folder):
    def of(data, split="train"):
        return open_source(data, split).fingerprint

    data = small["array_record"]
    assert of(data) == of(data) and len(of(data)) == 64
    before = of(folder)
    found = {of(data), of(data, "validation"), of(data, "train[:50%]"), of(small["tfrecord"]),
             before}
    assert len(found) == 5
    shutil.copy(f"{folder.data_dir}/train/dog/0.jpg", f"{folder.data_dir}/train/dog/9.jpg")
    assert of(folder) != before


def test_folder_gives_sorted_images_of_known_extensions(folder):
    source, records = _records(folder)
    assert source.class_names == ("cat", "dog")
    assert [r.example_id for r in records] == [
        f"train/{name}" for name in
        ("cat/0.jpg", "cat/1.jpg", "cat/2.jpg", "cat/3.PNG", "dog/0.jpg", "dog/1.jpg", "dog/2.jpg")]
    assert [r.label for r in records] == [0, 0, 0, 0, 1, 1, 1]
    assert records[5].encoded == jpeg(seed=1)


def test_folder_with_names_that_are_no_utf_8_gives_them_as_text(folder):
    train = os.path.join(os.fsencode(folder.data_dir), b"train")
    os.rename(os.path.join(train, b"dog"), os.path.join(train, b"d\xf6g"))
    source, records = _records(folder)
    assert source.class_names == ("cat", "d\\udcf6g")
    assert records[-1].example_id.startswith("train/d\\udcf6g/") and records[-1].encoded


def test_folder_of_a_split_without_some_class_keeps_the_labels_of_train(folder):
    shutil.rmtree(f"{folder.data_dir}/validation/cat")
    source, records = _records(folder, "validation")
    assert source.class_names == ("cat", "dog")
    assert [r.label for r in records] == [1, 1]


def test_folder_with_a_class_that_train_lacks_is_refused(folder):
    shutil.copytree(f"{folder.data_dir}/validation/cat", f"{folder.data_dir}/validation/cow")
    with pytest.raises(DataError, match="validation/cow: no such class in train/"):
        open_source(folder, "validation")


def test_folder_without_train_split_takes_its_own_classes(folder):
    shutil.rmtree(f"{folder.data_dir}/train")
    assert open_source(folder, "validation").class_names == ("cat", "dog")


@pytest.mark.parametrize("change,words", [
    ({"data_dir": ""}, "--dataset=folder needs --data_dir"),
    ({"data_dir": "/nowhere"}, "--data_dir=/nowhere is not a folder"),
    ({"train_split": "test"}, "no split 'test' in --data_dir=.*; folders there: train, validation"),
])
def test_folder_that_is_not_there_is_named(folder, change, words):
    data = dataclasses.replace(folder, **change)
    with pytest.raises(UsageError, match=words):
        open_source(data, data.train_split)


def test_folder_without_images_is_named(folder):
    shutil.rmtree(f"{folder.data_dir}/validation")
    (folder_path := f"{folder.data_dir}/validation")
    shutil.copytree(f"{folder.data_dir}/train", folder_path,
                    ignore=shutil.ignore_patterns("*.jpg", "*.PNG"))
    with pytest.raises(DataError, match="split 'validation' has no examples"):
        open_source(folder, "validation")


@pytest.mark.parametrize("name,words", [
    ("imagnet2012", "unknown --dataset=imagnet2012; known are .*imagenet2012"),
    ("imagenet2012:9.9.9", "--dataset=imagenet2012:9.9.9: .*9.9.9"),
    ("gs://bucket/set", "is not a name like cifar10"),
    ("../elsewhere", "is not a name like cifar10"),
    ("cifar10", "cifar10 is not prepared in .*`inception-tf prepare --dataset=cifar10 "
                "--data_dir=.*`"),
    ("imagenet2012", "inception-tf prepare --dataset=imagenet2012 --manual_dir=DIR --data_dir="),
])
def test_unknown_or_unprepared_set_is_one_line_with_what_to_do(tmp_path, name, words):
    with pytest.raises(UsageError, match=words) as raised:
        open_source(Data(dataset=name, data_dir=str(tmp_path)), "train")
    assert "\n" not in str(raised.value) and raised.value.exit_code == 2


@pytest.mark.parametrize("split,error,words", [
    ("trian", UsageError, r"no split 'trian'; splits: train \(12\), validation \(5\)"),
    ("train[5%", UsageError, "no split"),
    ("train[5:2]", UsageError, "train from 5 to 2 begins after its end"),
    ("train[99%:1%]", UsageError, "train from 12 to 0 begins after its end"),
    ("train[3:1]+train[:5]", UsageError, "train from 3 to 1 begins after its end"),
    ("train[:0]", DataError, "split 'train.:0.' has no examples"),
    ("", UsageError, "--train_split"),
])
def test_split_that_is_not_there_lists_those_that_are(small, split, error, words):
    with pytest.raises(error, match=words):
        open_source(small["array_record"], split)


def test_set_without_image_and_label_says_what_it_has_before_any_download(tmp_path):
    data = Data(dataset="unlabelled", data_dir=str(tmp_path), manual_dir=str(tmp_path))
    with pytest.raises(UsageError, match="no image and label.*it has angle: Scalar, image: Image"):
        open_source(data, "train")


def test_older_version_on_disk_is_pointed_at(small, tmp_path):
    shutil.copytree(small["tfrecord"].data_dir, tmp_path / "data")
    (tmp_path / "data" / "small" / "1.2.3").rename(tmp_path / "data" / "small" / "1.0.0")
    data = Data(dataset="small", data_dir=str(tmp_path / "data"))
    with pytest.raises(UsageError, match=r"\(there is --dataset=small:1.0.0\)"):
        open_source(data, "train")


def test_more_files_than_the_shell_allows_can_stay_open():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, before[1]))
        shards._allow_open_files(1024)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 1024 + shards.SPARE_FILES
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
