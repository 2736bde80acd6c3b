"""dataset_info.json and features.json of a prepared set, edited and damaged: code 6, one line."""

import itertools
import json
import os
import random
import shutil

import pytest

from inception_tf.config import Data
from inception_tf.data.open import open_source
from inception_tf.errors import DataError, InceptionError, UsageError
from tests.small_tfds import write_small_set

VERSION = "small/1.2.3"
INFO, FEATURES = "dataset_info.json", "features.json"
# By the code of the set, and by its files alone, where features.json is read too.
WAYS = ("small", "small:1.2.3")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    write_small_set(folder, "array_record")
    return folder


@pytest.fixture
def damaged(prepared, tmp_path):
    """Its folder, a copy."""
    shutil.copytree(prepared, tmp_path / "data")
    return tmp_path / "data" / VERSION


def read(folder, way):
    """Class names and labels of the training split, all records read."""
    source = open_source(Data(dataset=way, data_dir=str(folder.parents[1])), "train")
    return source.class_names, [source.read(i).label for i in range(source.num_examples)]


def refused(folder, way, kind=DataError):
    with pytest.raises(kind) as raised:
        read(folder, way)
    message = str(raised.value)
    assert raised.value.exit_code == 6 or kind is not DataError
    assert "\n" not in message and len(message) < 700
    return message


# What a text editor, a disk or a stranger makes of a file; the text that it becomes, as bytes.
DAMAGES = {
    "empty": lambda text: b"",
    "cut": lambda text: text[: len(text) // 2],
    "no_utf_8": lambda text: text.replace(b"small", b"sm\xffll").replace(b"uint8", b"\xff"),
    "byte_order_mark": lambda text: b"\xef\xbb\xbf" + text,
    "utf_16": lambda text: text.decode().encode("utf-16"),
    "a_list": lambda text: b"[]",
    "a_number": lambda text: b"7",
    "null": lambda text: b"null",
    "nested": lambda text: b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "nested_objects": lambda text: b'{"splits":' * 100_000 + b"1" + b"}" * 100_000,
    "twice": lambda text: text + text,
    "key_twice": lambda text: text.replace(b"{", b'{"a": 1, "a": 2, ', 1),
    "infinity": lambda text: text.replace(b"{", b'{"a": Infinity, ', 1),
    "other_keys": lambda text: text.replace(b"{", b'{"splitz": 1, ', 1),
    "page_of_a_proxy": lambda text: b"<html>404</html>",
}


@pytest.mark.parametrize("damage, file, way", [
    case for case in itertools.product(DAMAGES, (INFO, FEATURES), WAYS)
    if case != ("other_keys", FEATURES, "small")])  # its code says what its features are
def test_f63_damaged_json_is_one_line_that_names_the_file(damaged, file, damage, way):
    path = damaged / file
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert str(damaged) in refused(damaged, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path, value", [
    ("splits", "train"), ("splits", []), ("splits", [7]), ("splits", {}), ("splits", [{}]),
    ("splits/0/name", "../../small"), ("splits/0/name", ""), ("splits/0/name", 7),
    ("splits/0/name", "validation"), ("splits/0/numBytes", "1e400"), ("splits/0/numBytes", "x"),
    ("splits/0/shardLengths", ["-6", "6"]), ("splits/0/shardLengths", ["6", "6.5"]),
    ("splits/0/shardLengths", ["6", str(10**30)]), ("splits/0/shardLengths", ["6", str(10**18)]),
    ("splits/0/shardLengths", "12"), ("splits/0/shardLengths", ["0", "0"]),
    ("splits/0/shardLengths", ["6"]), ("splits/0/shardLengths", [6, 7]),
    ("splits/0/filepathTemplate", "../{DATASET}"), ("splits/0/filepathTemplate", "/etc/passwd"),
    ("splits/0/filepathTemplate", "a/../../{SPLIT}"), ("splits/0/filepathTemplate", 5),
    ("splits/0/filepathTemplate", "{SPLIT:>99999999999}"),
    ("splits/0/filepathTemplate", "{SPLIT.__class__}"), ("splits/0/filepathTemplate", "{UNKNOWN}"),
    ("splits/0/filepathTemplate", "{"), ("splits/0/filepathTemplate", "a\0b"),
    ("splits/0/filepathTemplate", "nowhere/{SHARD_INDEX}"),
    ("splits/0/filepath_template", "../x"),
    ("version", "1.2.4"), ("version", "one"), ("version", 1), ("version", ""),
    ("name", "other"), ("name", "../small"), ("name", ["small"]),
    ("fileFormat", "parchment"), ("fileFormat", "tfrecord"), ("fileFormat", 3),
])
def test_f63_info_that_cannot_be_is_one_line(damaged, path, value, way):
    info = json.loads((damaged / INFO).read_text())
    *parents, key = path.split("/")
    place = info
    for parent in parents:
        place = place[int(parent) if parent.isdigit() else parent]
    if key == "filepath_template":  # another spelling of the same that TFDS reads
        del place["filepathTemplate"]
    place[key] = value
    (damaged / INFO).write_text(json.dumps(info))
    refused(damaged, way)


@pytest.mark.parametrize("feature, value", [
    ("label", {"classLabel": {"numClasses": str(10**12)},
               "pythonClassName": "tensorflow_datasets.core.features.ClassLabel"}),
    ("label", {"pythonClassName": "no.such.module.Feature"}), ("label", 7), ("image", {}),
])
def test_f63_features_that_cannot_be_are_one_line(damaged, feature, value):
    features = json.loads((damaged / FEATURES).read_text())
    features["featuresDict"]["features"][feature] = value
    (damaged / FEATURES).write_text(json.dumps(features))
    (damaged / "label.labels.txt").unlink()
    refused(damaged, WAYS[1])


def test_f63_features_that_the_records_do_not_have_are_named_with_the_record(damaged):
    features = json.loads((damaged / FEATURES).read_text())
    features["featuresDict"]["features"]["file_name"] = {
        "text": {}, "pythonClassName": "tensorflow_datasets.core.features.text_feature.Text"}
    (damaged / FEATURES).write_text(json.dumps(features))
    assert "small:1.2.3/train#0 is not what features.json declares" in refused(damaged, WAYS[1])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("content", [b"ant\nbee\n", b"ant\nant\nbee\ncat\n", b"\xff\xfe\0"])
def test_f63_damaged_list_of_labels_is_one_line(damaged, content, way):
    (damaged / "label.labels.txt").write_bytes(content)
    refused(damaged, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("file", [INFO, FEATURES, "label.labels.txt"])
@pytest.mark.parametrize("kind", ["sparse", "fifo", "folder", "link"])
def test_f63_file_that_has_no_end_or_is_none_is_not_opened(damaged, file, kind, way):
    path = damaged / file
    path.unlink()
    if kind == "sparse":
        path.touch()
        os.truncate(path, 10**11)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    assert file in refused(damaged, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("files", [(INFO,), (INFO, FEATURES)])
def test_f63_missing_file_is_named(damaged, files, way):
    for file in files:
        (damaged / file).unlink()
    assert f"{INFO}: No such file" in refused(damaged, way)


@pytest.mark.parametrize("seed", range(40))
def test_f63_any_edit_ends_in_one_line_or_changes_nothing_that_counts(damaged, seed):
    chance = random.Random(seed)
    path = damaged / chance.choice([INFO, FEATURES])
    for way in WAYS:
        path.write_text(json.dumps(_edited(json.loads(path.read_text()), chance)))
        try:
            names, labels = read(damaged, way)
        except InceptionError as error:
            assert "\n" not in str(error) and error.exit_code in (2, 6)
        else:
            assert len(names) == 4 and len(labels) in (5, 12)


def _edited(value, chance):
    """`value` with one thing in it removed, doubled or replaced by one of another type."""
    places = list(_places(value))
    holder, key = chance.choice(places)
    others = ["", "x", -1, 0, 1e300, None, True, [], {}, [[]], {"a": {}}, "../..", 2**70]
    change = chance.randrange(3)
    if change == 0:
        del holder[key]
    elif change == 1 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = chance.choice(others)
    return value


def _places(value):
    """(container, key) of everything inside `value`."""
    keys = {dict: list, list: lambda items: range(len(items))}.get(type(value), lambda _: ())
    for key in keys(value):
        yield value, key
        yield from _places(value[key])


def test_split_without_examples_beside_others_is_left_alone(damaged):
    info = json.loads((damaged / INFO).read_text())
    info["splits"][1]["shardLengths"] = []
    (damaged / INFO).write_text(json.dumps(info))
    assert len(read(damaged, WAYS[0])[1]) == 12


def test_other_versions_on_disk_are_not_judged(damaged):
    """A damaged one that nobody asked for stops nothing."""
    other = damaged.parent / "1.0.0"
    shutil.copytree(damaged, other)
    (other / INFO).write_text("{")
    assert read(damaged, WAYS[0]) == read(damaged, WAYS[1])


def test_f63_other_spelling_of_the_name_finds_the_same_files(damaged):
    (damaged / INFO).write_text("{")
    assert INFO in refused(damaged, "Small")


@pytest.mark.parametrize("name", ["small:9.9.9", "small/large", "small/large:1.2.3", "small:*"])
def test_name_of_what_is_not_there_stays_a_mistake_of_the_flag(damaged, name):
    refused(damaged, name, UsageError)
