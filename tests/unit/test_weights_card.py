"""What a weights file says of itself, edited or damaged: always one line, never a traceback."""

import json
import zipfile

import h5py
import pytest

from inception_tf.config import Config
from inception_tf.errors import UsageError
from inception_tf.weights.card import MEMBER, Facts, read_facts

GOOD = json.loads(Facts(Config(), ("a", "b"), {"source": "slim"}).to_json())
CONFIG = json.loads(GOOD["config"])


def changed(**changes):
    return json.dumps({**GOOD, **changes})


DAMAGES = [
    *[json.dumps({k: v for k, v in GOOD.items() if k != key}) for key in GOOD],
    *[changed(**{key: value}) for key in GOOD for value in (None, 3, True, [1], {"a": 1}, 1e300)
      if not (key == "origin" and isinstance(value, dict))],
    changed(class_names="ab"), changed(class_names=[["a"]]), changed(config=CONFIG),
    changed(config="{}x"), changed(config=json.dumps({**CONFIG, "network": 3})),
    changed(config="[" * 200_000), "[" * 200_000, '{"a":' * 100_000, "{}", "[]", "3", "null",
    "NaN", changed()[:-5], changed() + "}", "\ufeff" + changed(),
    changed()[:-1] + ', "config": ""}', changed(class_names=[float("nan")]),
    changed(origin={"a": float("inf")}),
]


def in_archive(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, content)
    return str(path)


def in_attributes(path, content):
    with h5py.File(path, "w") as file:
        for number, start in enumerate(range(0, len(content), 60_000)):
            file.attrs[f"inception_tf_{number}"] = content[start:start + 60_000]
    return str(path)


def refused(path):
    with pytest.raises(UsageError) as caught:
        read_facts(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(("write", "name"), [(in_archive, "x.keras"),
                                             (in_attributes, "x.weights.h5")])
def test_f49_edited_facts_are_one_line(tmp_path, write, name):
    assert read_facts(write(tmp_path / name, changed())).class_names == ("a", "b")
    for content in DAMAGES:
        refused(write(tmp_path / name, content))


def test_f49_facts_of_other_bytes_than_text_are_one_line(tmp_path):
    refused(in_archive(tmp_path / "x.keras", b"\xff\xfe{}"))
    for value in (3, [1, 2], b"\xff"):
        with h5py.File(tmp_path / "x.weights.h5", "w") as file:
            file.attrs["inception_tf_0"] = value
        refused(str(tmp_path / "x.weights.h5"))


def test_f49_every_damaged_byte_of_an_archive_is_one_line_or_changes_nothing(tmp_path):
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, changed())
    whole = path.read_bytes()
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1:])
        try:
            found = read_facts(str(path))
        except UsageError as error:
            assert "\n" not in str(error)
        else:
            assert found is None or json.loads(found.to_json()) == GOOD
