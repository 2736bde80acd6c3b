"""The first line of a predictions file: what its rows are probabilities of, checked strictly."""

import json
import os
from collections.abc import Sequence
from typing import Annotated, Any, BinaryIO, Literal, NotRequired, TypedDict

from msgspec import Meta

from inception_tf import strict_json
from inception_tf.data.sources import Source
from inception_tf.errors import UsageError

FORMAT = "inception_tf predictions 1"
# The longest header read: 10,000 class names and a config stay far below.
MAX_HEADER_BYTES = 16_000_000
# Bytes of an example id in a row, unless the header has "id_bytes": more, for longer ids.
ID_BYTES = 320
# What a run must have in common with the file it resumes in; "about" is for readers.
IDENTITY = ("dataset", "split", "data_fingerprint", "num_examples", "class_names", "network",
            "weights", "checkpoint_sha256", "protocol", "preprocessing", "images_per_pass",
            "views_per_pass")

_Count = Annotated[int, Meta(ge=1)]


class _Protocol(TypedDict):
    crops: Literal[1, 10, 12, 144]
    scales: list[int]
    field: int


class _Preprocessing(TypedDict):
    image_size: _Count
    crop_fraction: float


class _Settings(TypedDict):
    network: NotRequired[dict[str, Any]]


class _About(TypedDict):
    model_dir: NotRequired[str]
    step: NotRequired[int]
    config: NotRequired[_Settings]
    versions: NotRequired[dict[str, str]]


class _Header(TypedDict):
    """What is read of a header; there may be more."""

    format: Literal["inception_tf predictions 1"]
    dataset: str
    split: str
    data_fingerprint: str
    num_examples: _Count
    class_names: Annotated[list[str], Meta(min_length=1)]
    network: str
    weights: str
    checkpoint_sha256: str
    protocol: _Protocol
    preprocessing: _Preprocessing
    images_per_pass: _Count
    views_per_pass: _Count
    about: _About
    id_bytes: NotRequired[Annotated[int, Meta(ge=ID_BYTES, le=2**16)]]


def read_header(file: BinaryIO, path: str | os.PathLike) -> tuple[dict[str, Any], int]:
    """(header, offset of the rows) of an open file.

    Raises: UsageError when it is no predictions file, or its header is damaged.
    """
    file.seek(0)
    line = file.readline(MAX_HEADER_BYTES)
    if json.dumps(FORMAT).encode() not in line:
        raise UsageError(f"{path} is not a predictions file ({FORMAT!r}): it is left as it is")
    what = f"predictions {path}: the header"
    header = strict_json.parse(line, dict[str, Any], what)
    strict_json.shaped(header, _Header, what)
    return header, len(line)


def header_line(header: dict[str, Any]) -> bytes:
    """The line that `read_header` reads."""
    return json.dumps({"format": FORMAT, **header}, allow_nan=False).encode() + b"\n"


def refuse_other(found: dict[str, Any], wanted: dict[str, Any], what: str,
                 keys: Sequence[str]) -> None:
    """Raises UsageError naming the first key in which two headers differ.

    Args:
        found, wanted: the headers.
        what: what the message calls the first.
        keys: which are compared.
    """
    for key in keys:
        if found.get(key) != wanted.get(key):
            raise UsageError(f"{what}: {key} is {_brief(found.get(key))}, not "
                             f"{_brief(wanted.get(key))}: take another file")


def _brief(value):
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:60]}...{text[-30:]}"


def id_bytes_of(header: dict[str, Any]) -> int:
    """Bytes of an example id in the rows under `header`."""
    return header.get("id_bytes", ID_BYTES)


def id_bytes_for(source: Source) -> dict[str, int]:
    """What a header says of the ids of `source`: nothing where they fit the usual room."""
    longest = source.max_id_bytes
    return {"id_bytes": longest} if longest > ID_BYTES else {}
