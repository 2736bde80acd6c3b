"""What a file of weights says of itself: network, preprocessing, classes, origin.

Plain Keras looks at neither place: a member of its own in a .keras archive, attributes at
the root of a .weights.h5 file.
"""

import dataclasses
import json
import os
import zipfile

import h5py

from inception_tf.config import Config
from inception_tf.errors import UsageError

MEMBER = "inception_tf.json"
ATTRIBUTE = "inception_tf_{}"
# HDF5 holds up to 64 KB in an attribute.
_PIECE = 60_000
# ImageNet's 21,841 names take less than 1 MB.
_MAX_BYTES = 16 * 2**20


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

    def to_json(self):
        """JSON text that `from_json` reads."""
        return json.dumps({"config": self.config.to_json(),
                           "class_names": list(self.class_names), "origin": self.origin})

    @classmethod
    def from_json(cls, text, source):
        """The Facts of `to_json`'s text; UsageError when it is none."""
        try:
            values = json.loads(text)
            config, names, origin = (values[k] for k in ("config", "class_names", "origin"))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{source}: its facts are damaged: {error!r:.80}") from None
        if not (isinstance(config, str) and isinstance(names, list) and isinstance(origin, dict)
                and all(isinstance(name, str) for name in names)):
            raise UsageError(f"{source}: its facts are damaged: a value is of the wrong type")
        return cls(Config.from_json(config, source), tuple(names), origin)


def write_facts(path, facts):
    """Adds `facts` to a .keras or .weights.h5 file that has none."""
    text = facts.to_json()
    if path.endswith(".keras"):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(MEMBER, text)
        return
    with h5py.File(path, "r+") as file:
        for number, start in enumerate(range(0, len(text), _PIECE)):
            file.attrs[ATTRIBUTE.format(number)] = text[start:start + _PIECE]


def read_facts(path):
    """The Facts of a .keras or .weights.h5 file, None where it has none.

    Raises: UsageError for a file that is missing or damaged.
    """
    if not os.path.isfile(path):
        raise UsageError(f"no file {path!r}")
    try:
        text = _archived(path) if path.endswith(".keras") else _attributes(path)
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path}: is damaged, or no Keras file: {error}") from None
    return Facts.from_json(text, path) if text else None


def _archived(path):
    with zipfile.ZipFile(path) as archive:
        if MEMBER not in archive.namelist():
            return ""
        if archive.getinfo(MEMBER).file_size > _MAX_BYTES:
            raise ValueError(f"{MEMBER} is larger than {_MAX_BYTES} bytes")
        return archive.read(MEMBER).decode()


def _attributes(path):
    with h5py.File(path) as file:
        pieces = []
        while (name := ATTRIBUTE.format(len(pieces))) in file.attrs:
            pieces.append(str(file.attrs[name]))
        return "".join(pieces)
