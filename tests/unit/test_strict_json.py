"""The reader of our JSON files: what it takes, and one line for what it does not."""

import os
from typing import TypedDict

import pytest

from inception_tf import strict_json
from inception_tf.errors import CheckpointError, UsageError


class Kind(TypedDict):
    step: int
    names: list[str]


GOOD = b'{"step": 3, "names": ["a"]}'


def test_parse_good_text_gives_its_value():
    assert strict_json.parse(GOOD, Kind, "x") == {"step": 3, "names": ["a"]}


@pytest.mark.parametrize("text", [
    b"", b"[]", b"null", GOOD[:-3], GOOD + b"}", b"\xef\xbb\xbf" + GOOD, b"\xff" + GOOD,
    GOOD.replace(b"3", b"3.5"), GOOD.replace(b"3", b'"3"'), GOOD.replace(b"3", b"true"),
    GOOD.replace(b"3", b"NaN"), GOOD.replace(b"3", b"1e999"), GOOD.replace(b'"a"', b"null"),
    GOOD.replace(b"3", b"9" * 5000), b'{"step": 3}', b'{"step": 3, "step": 4, "names": []}',
    b"[" * 200_000, b'{"a":' * 200_000,
], ids=lambda text: repr(text[:24]))
def test_parse_damaged_text_is_one_line_of_the_source(text):
    with pytest.raises(UsageError) as caught:
        strict_json.parse(text, Kind, "facts.json")
    assert "facts.json is damaged" in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_read_raises_the_class_asked_for(tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        strict_json.read(tmp_path / "none", Kind, CheckpointError)


def test_read_of_a_huge_sparse_file_a_folder_or_a_pipe_is_refused_at_once(tmp_path):
    huge, pipe = tmp_path / "huge", tmp_path / "pipe"
    huge.touch()
    os.truncate(huge, 100 * 2**30)
    os.mkfifo(pipe)
    for path, why in ((huge, "bytes"), (tmp_path, "not a file"), (pipe, "not a file")):
        with pytest.raises(UsageError, match=why):
            strict_json.read(path, Kind)
