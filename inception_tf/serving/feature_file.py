"""The file of features: parts beside it while it grows, one .npz when it is complete.

A part holds the features of successive pictures and is complete or absent (runtime/files.py), so
that a killed run resumes after its last part. Parts end where batches end: the same pictures go
through the network together, and the file has the same bytes, however often a run was killed.
"""

import contextlib
import json
import logging
import os
import shutil
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inception_tf import strict_json
from inception_tf.errors import StorageError, UsageError
from inception_tf.runtime import outputs
from inception_tf.runtime.files import aside_of, complete_or_absent, try_lock, write_atomically
from inception_tf.serving.predictor import Prediction, batched

log = logging.getLogger("inception_tf")

# A part is written when it has lasted or grown so much: what a kill costs, and what memory holds.
PART_SECONDS, PART_BYTES = 30.0, 64 * 2**20
_ABOUT, _LOCK, _PART = "about.json", "LOCK", "{:012}.npz"
# What numpy and zipfile raise for a file that is no .npz, or a damaged one.
_DAMAGES = (OSError, ValueError, TypeError, LookupError, EOFError, zipfile.BadZipFile)
_NAMES_AT_ONCE = 8192


class FeatureFile:
    """A file of features that is being made; `open_feature_file` opens one.

    count: pictures whose features are in parts.
    """

    def __init__(self, output: str, folder: Path, about: dict[str, Any], num_features: int):
        self._output, self._folder, self._about = output, folder, about
        self._num_features = num_features
        self.count = self._resume()
        self._clear()

    def add(self, pictures: Sequence[Prediction], features: np.ndarray) -> None:
        """Takes the next batch: `features` [k, C] of the k `pictures` without an error.

        Raises: StorageError where a part cannot be written.
        """
        self._errors += [one.error for one in pictures]
        self._features.append(features)
        self._bytes += features.nbytes
        if time.monotonic() - self._since >= PART_SECONDS or self._bytes >= PART_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what was added as a part; StorageError where it cannot be."""
        if not self._errors:
            return
        with _storing(self._output):
            path = self._folder / _PART.format(self.count)
            with complete_or_absent(path, aside_of(path)) as aside, open(aside, "xb") as file:
                np.savez(file, features=np.concatenate(self._features),
                         errors=np.array(self._errors, np.str_))
        self.count += len(self._errors)
        self._clear()

    def complete(self, paths: Sequence[str]) -> int:
        """Writes the .npz and removes the parts; how many of the pictures could not be read.

        `paths` are those of all pictures. Raises: StorageError where it cannot be written.
        """
        self.flush()
        errors = [error for _, part in self._parts() for error in _load(part, "errors")]
        names = [[path for path, error in zip(paths, errors, strict=True) if bool(error) == is_bad]
                 for is_bad in (False, True)]
        with _storing(self._output), complete_or_absent(
                self._output, aside_of(self._output)) as aside:
            with zipfile.ZipFile(aside, "x") as archive:
                _write(archive, "features", np.float32, (len(names[0]), self._num_features),
                       (_load(part, "features") for _, part in self._parts()))
                _write_names(archive, "files", names[0])
                _write_names(archive, "unreadable", names[1])
                _write_names(archive, "causes", [error for error in errors if error])
                _write_names(archive, "about", [json.dumps(self._about)])
        shutil.rmtree(self._folder, ignore_errors=True)
        return len(names[1])

    def _clear(self):
        self._errors, self._features, self._bytes = [], [], 0
        self._since = time.monotonic()

    def _parts(self):
        """(first picture, path) of each part, in order."""
        return sorted((int(path.stem), path) for path in self._folder.glob("*.npz")
                      if path.stem.isdecimal())

    def _resume(self):
        """Pictures in the parts before the first that is lost or damaged; removes that and on."""
        count = 0
        for first, path in self._parts():
            with contextlib.suppress(*_DAMAGES):
                if first == count and len(_load(path, "features")) <= len(_load(path, "errors")):
                    count += len(_load(path, "errors"))
                    continue
            log.warning("%s is damaged, or follows one that is missing: made again", path)
            path.unlink()
        if count:
            log.info("%s: resuming after %d of %d pictures", self._output, count,
                     self._about["pictures"])
        return count


@contextlib.contextmanager
def open_feature_file(output: str, about: dict[str, Any],
                      num_features: int) -> Iterator[FeatureFile]:
    """The FeatureFile at `output`, new or as a run of the same settings left it.

    Args:
        output: path of the .npz.
        about: JSON-able: all settings that the features depend on.
        num_features: per picture.

    Raises:
        UsageError: the parts there are of other settings, another process writes them, or
            something else has the name of their folder.
        StorageError: a file cannot be written, or the disk has too little room.
    """
    output = os.path.realpath(output)
    folder = Path(f"{output}.parts")
    if not os.path.isdir(folder):
        outputs.check_new_folder("output", str(folder))
    with _storing(output):
        folder.mkdir(exist_ok=True)
        lock = open(folder / _LOCK, "ab")
    with lock:
        if not try_lock(lock.fileno(), folder / _LOCK):
            raise UsageError(f"--output={output!r} is being written by another process")
        if any(not path.name.startswith((_LOCK, _ABOUT)) for path in folder.iterdir()):
            _refuse_other(_about_of(folder), about, folder)
        with _storing(output):
            write_atomically(folder / _ABOUT, json.dumps(about))
            file = FeatureFile(output, folder, about, num_features)
        _require_room(output, (2 * about["pictures"] - file.count) * 4 * num_features)
        yield file


def num_unreadable(output: str, about: dict[str, Any]) -> int | None:
    """Of a complete file of the same settings, pictures that could not be read; None: no file.

    Raises: UsageError for a file of other settings, or of another kind.
    """
    if not os.path.lexists(output):
        return None
    try:
        theirs = strict_json.parse(str(_load(output, "about")[0]), dict[str, Any], output)
        number = len(_load(output, "unreadable"))
    except (*_DAMAGES, UsageError):
        raise UsageError(f"--output={output!r} exists and holds no features: remove it, or choose "
                         "another name") from None
    _refuse_other(theirs, about, output)
    folder = Path(f"{os.path.realpath(output)}.parts")
    if (folder / _ABOUT).is_file():
        shutil.rmtree(folder, ignore_errors=True)
    return number


def _refuse_other(found, about, path):
    for key in about:
        if found.get(key) != about[key]:
            raise UsageError(f"--output: {path} was made with {key} {found.get(key)!s:.100}, now "
                             f"{about[key]!s:.100}: remove it, or choose another name")


def _about_of(folder):
    try:
        return strict_json.read(folder / _ABOUT, dict[str, Any])
    except UsageError as error:
        raise UsageError(f"{error}: remove {folder} to begin again") from None


def _load(path, name):
    with open(path, "rb") as file, np.load(file) as part:
        return part[name]


def _write(archive, name, dtype, shape, arrays):
    """Adds an array to an .npz, piece by piece: its `arrays` one behind the other."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False,
              "shape": shape}
    # Whether a member passes 4 GB must be known before.
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        for array in arrays:
            member.write(np.asarray(array, dtype).tobytes())


def _write_names(archive, name, texts):
    dtype = f"<U{max(map(len, texts), default=1) or 1}"
    _write(archive, name, dtype, (len(texts),), batched(texts, _NAMES_AT_ONCE))


def _require_room(output, needed):
    """Hours of work shall not end at a full disk; some file systems do not tell what is free."""
    total, _, free = shutil.disk_usage(os.path.dirname(output))
    if total and needed > free:
        raise StorageError(f"--output={output!r} needs {needed:,} bytes, {free:,} are free")


@contextlib.contextmanager
def _storing(output):
    try:
        yield
    except OSError as error:
        raise StorageError(f"--output={output!r} could not be written: "
                           f"{error.strerror or error}; the same command resumes") from None
