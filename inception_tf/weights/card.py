"""What a file of weights says of itself: network, preprocessing, classes, origin.

Plain Keras looks at neither place: a member of its own in a .keras archive, attributes at
the root of a .weights.h5 file.
"""

import dataclasses
import json
import lzma
import os
import zipfile
import zlib
from typing import Any, TypedDict

import h5py

from inception_tf import strict_json
from inception_tf.config import Config
from inception_tf.errors import UsageError
from inception_tf.weights.keras_file import open_archive, read_member

MEMBER = "inception_tf.json"
ATTRIBUTE = "inception_tf_{}"
# HDF5 holds up to 64 KB in an attribute.
_PIECE = 60_000
# What h5py and the decompressors of an archive raise.
_DAMAGES = (OSError, RuntimeError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile,
            zlib.error, lzma.LZMAError)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What comes with weights.

    config: its `network` and `data` describe the network and how images were cut for it.
    class_names: in the order of the outputs, background not counted; empty: not known.
    origin: where the weights come from, as text by name.
    """

    config: Config
    class_names: tuple[str, ...] = ()
    origin: dict = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """JSON text that `from_json` reads."""
        return json.dumps({"config": self.config.to_json(),
                           "class_names": list(self.class_names), "origin": self.origin})

    @classmethod
    def from_json(cls, text: str, source: str) -> "Facts":
        """The Facts of `to_json`'s text; UsageError for any other text."""
        values = strict_json.parse(text, _Stored, f"{source}: what it says of itself")
        config = Config.from_json(values["config"], source)
        return cls(config, tuple(values["class_names"]), values["origin"])


class _Stored(TypedDict):
    config: str
    class_names: list[str]
    origin: dict[str, Any]


def write_facts(path: str | os.PathLike, facts: Facts) -> None:
    """Adds `facts` to a .keras or .weights.h5 file that has none."""
    path, text = os.fspath(path), facts.to_json()
    if path.endswith(".keras"):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(MEMBER, text)
        return
    with h5py.File(path, "r+") as file:
        for number, start in enumerate(range(0, len(text), _PIECE)):
            file.attrs[ATTRIBUTE.format(number)] = text[start:start + _PIECE]


def read_facts(path: str) -> Facts | None:
    """The Facts of a .keras or .weights.h5 file, None where it has none.

    Raises: UsageError for a file that is missing or damaged.
    """
    if not os.path.isfile(path):
        raise UsageError(f"no file {path!r}")
    try:
        text = _archived(path) if path.endswith(".keras") else _attributes(path)
    except _DAMAGES as error:
        raise UsageError(f"{path}: is damaged, or no Keras file: {error}") from None
    return Facts.from_json(text, path) if text else None


def _archived(path):
    with open_archive(path) as archive:
        if MEMBER not in archive.namelist():
            return ""
        return read_member(path, archive, MEMBER, strict_json.MAX_BYTES)


def _attributes(path):
    with h5py.File(path) as file:
        pieces = []
        while (name := ATTRIBUTE.format(len(pieces))) in file.attrs:
            pieces.append(str(file.attrs[name]))
            if len(pieces) * _PIECE > strict_json.MAX_BYTES or len(pieces[-1]) > _PIECE:
                raise ValueError(f"{name}: larger than what is written there")
        return "".join(pieces)
