"""Reads our own JSON files, which may have been edited or damaged.

Shape and types are checked before a value is used. Each error is one line that names the file
and the place in it: not UTF-8, a byte order mark, a truncated file, a duplicate key, NaN, a
missing key, a value of another type, no regular file, a file far too large.
"""

import json
import math
import os
import stat
from typing import Any

import msgspec

from inception_tf.errors import InceptionError, UsageError

# The largest are manifests with a name for each of ImageNet's 21,841 classes: 1 MB. The worst of
# this size, nothing but empty lists, takes 200 MB of memory.
MAX_BYTES = 8 * 2**20


def read(path: str | os.PathLike, kind: Any, error: type[InceptionError] = UsageError,
         max_bytes: int = MAX_BYTES) -> Any:
    """The value of a JSON file.

    Args:
        path: the file.
        kind, error: as in `parse`.
        max_bytes: the largest size that is read.

    Raises:
        error: as `content_of` and `parse`.
    """
    return parse(content_of(path, error, max_bytes), kind, path, error)


def content_of(path: str | os.PathLike, error: type[InceptionError] = UsageError,
               max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a file.

    Raises:
        error: it cannot be read, is no regular file, or is larger than `max_bytes`.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{path} is not a file")
        if status.st_size > max_bytes:
            raise error(f"{path} has {status.st_size:,} bytes; at most {max_bytes:,} are read")
        with open(path, "rb") as file:
            return file.read(max_bytes)
    except OSError as problem:
        raise error(f"{path}: {problem.strerror or problem}") from None


def parse(text: str | bytes, kind: Any, source: object,
          error: type[InceptionError] = UsageError) -> Any:
    """`text` as `kind`, a type that msgspec knows (dict[str, int], a TypedDict, a dataclass).

    Args:
        text: JSON; bytes are UTF-8.
        kind: the type; a TypedDict or dataclass drops unknown keys, a dict keeps them.
        source: what to call the text in messages.
        error: class of the error.

    Raises:
        error: `text` is not strict JSON (no NaN, infinity or duplicate key), or not of `kind`.
    """
    try:
        text = text.decode() if isinstance(text, bytes) else text
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite,
                           object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError) as problem:
        raise error(f"{source} is damaged: {_short(problem)}") from None
    return shaped(value, kind, source, error)


def shaped(value: Any, kind: Any, source: object,
           error: type[InceptionError] = UsageError) -> Any:
    """`value`, already parsed, as `kind`; `error` if it is of another type.

    Args:
        value, kind, source, error: as in `parse`.
    """
    try:
        return msgspec.convert(value, kind, strict=True)
    except (msgspec.ValidationError, RecursionError) as problem:
        raise error(f"{source} is damaged: {_short(problem)}") from None


def _short(problem):
    if isinstance(problem, RecursionError):
        return "nested too deeply"
    return f"{problem}"[:200]


def _refuse(text):
    raise ValueError(f"{text} is no JSON")


def _finite(text):
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text:.40} is no finite number")
    return number


def _each_key_once(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found
