"""Probabilities of one network for every image of a split, in one file that survives a kill.

    a line of JSON   the header: which split, seen how, by which checkpoint
    rows             one per record, in the order of the split, all of the same size:
                     record index, label, example id (as many bytes as the header says),
                     K probabilities, CRC-32 of the row

Rows are appended as a run proceeds. A kill leaves at most a torn row at the end, which
is cut when the run resumes. Scores are computed from the stored numbers, never from
those in flight: a run, its resumption and a later ensemble agree to the last digit.
"""

import contextlib
import json
import logging
import os
import shutil
import stat
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from inception_tf.errors import DataError, StorageError, UsageError
from inception_tf.evaluation.predictions_header import (
    IDENTITY,
    header_line,
    id_bytes_of,
    read_header,
    refuse_other,
)
from inception_tf.runtime.files import try_lock

log = logging.getLogger("inception_tf")

_ROWS_AT_ONCE = 1024


class Predictions:
    """A predictions file, read through memory that the system pages in and out.

    Attributes:
        path: of the file.
        header: dict of IDENTITY's keys, and "about": what else was true of the run.
        probabilities: [N, K] float32, classes without the background, not renormalised; NaN for
            an image that could not be read.
        labels: [N] int32, -1 where the split has none.
        example_ids: N names.
        class_names: K names.
    """

    def __init__(self, path: str | os.PathLike, header: dict[str, Any], rows: np.ndarray):
        self.path, self.header = Path(path), header
        self.class_names = tuple(header["class_names"])
        self.probabilities = rows["probabilities"]
        self.labels = np.array(rows["label"])
        self.example_ids = [name.decode(errors="backslashreplace") for name in rows["example_id"]]

    def __len__(self) -> int:
        return len(self.labels)


class PredictionsWriter:
    """Appends rows to a predictions file; `count` rows are committed, `num_bad` of them all NaN."""

    def __init__(self, path: str | os.PathLike, file: BinaryIO, header: dict[str, Any], count: int,
                 num_bad: int = 0):
        self.path, self.count, self.num_bad = Path(path), count, num_bad
        self._file, self._header, self._type = file, header, _row_type(header)

    def append(self, labels: np.ndarray, example_ids: Sequence[str],
               probabilities: np.ndarray) -> None:
        """Commits the rows of the next images; they survive a kill when this returns.

        Raises:
            StorageError: the file system refused them.
        """
        rows = np.zeros(len(labels), self._type)
        rows["index"] = np.arange(self.count, self.count + len(labels))
        rows["label"], rows["example_id"] = labels, stored_ids(
            [name.encode() for name in example_ids], id_bytes_of(self._header))
        rows["probabilities"] = probabilities
        rows["crc"] = _checksums(rows)
        with _storage_errors(f"--predictions={self.path}"):
            self._file.write(rows.tobytes())
            self._file.flush()
        self.count += len(labels)


@contextlib.contextmanager
def predictions_writer(path: str | os.PathLike,
                       header: dict[str, Any]) -> Iterator[PredictionsWriter]:
    """A PredictionsWriter on a new file, or on the one that the same run left.

    A file of the same run keeps its whole rows; a torn one behind them is cut.

    Raises:
        UsageError: `path` is another file, that of another run, or in use by a process;
            it is left as it is.
        StorageError: it cannot be written.
    """
    flag = f"--predictions={path}"
    try:
        _require_file(path)
        file = open(path, "a+b")
    except OSError as error:
        raise UsageError(f"{flag}: {error.strerror}") from None
    with file:
        if not try_lock(file.fileno(), path):
            raise UsageError(f"{flag} is being written by another process")
        size = os.path.getsize(path)
        count, num_bad = _resume(file, path, header) if size else (0, 0)
        with _storage_errors(flag):
            _require_room(path, (header["num_examples"] - count) * _row_type(header).itemsize)
            if not size:
                file.write(header_line(header))
                file.flush()
        yield PredictionsWriter(path, file, header, count, num_bad)
        with _storage_errors(flag):
            os.fsync(file.fileno())


def open_predictions(path: str | os.PathLike) -> Predictions:
    """The complete Predictions in `path`, every row verified.

    Raises:
        UsageError: there is no such file, or it is of another kind, or incomplete.
        DataError: a row is damaged.
    """
    try:
        _require_file(path)
        with open(path, "rb") as file:
            header, start = read_header(file, path)
    except OSError as error:
        raise UsageError(f"predictions {path}: {error.strerror}") from None
    total, kind = header["num_examples"], _row_type(header)
    stored, rest = divmod(os.path.getsize(path) - start, kind.itemsize)
    if stored < total:
        raise UsageError(f"predictions {path} hold {stored} of {total} images: let the run that "
                         "writes them end (the same command resumes where it stopped)")
    rows = np.memmap(path, kind, "r", offset=start, shape=(total,))
    valid = _count_valid(rows)
    if valid < total or stored > total or rest:
        raise DataError(f"predictions {path}: row {valid} of {total} is damaged")
    if not (rows["label"] < len(header["class_names"])).all():
        raise DataError(f"predictions {path}: a label is none of the {len(header['class_names'])} "
                        "classes")
    return Predictions(path, header, rows)


def _row_type(header):
    return np.dtype([
        ("index", "<i8"), ("label", "<i4"), ("example_id", f"S{id_bytes_of(header)}"),
        ("probabilities", "<f4", (len(header["class_names"]),)), ("crc", "<u4"),
    ])


def _resume(file, path, header):
    """(rows to keep of the same run's file, bad examples in them); cuts what is behind them."""
    found, start = read_header(file, path)
    refuse_other(found, json.loads(json.dumps(header)), f"--predictions={path}",
                 (*IDENTITY, "id_bytes"))
    kind = _row_type(found)
    whole = (os.path.getsize(path) - start) // kind.itemsize
    whole = min(whole, header["num_examples"])
    rows = np.memmap(path, kind, "r", start, (whole,)) if whole else np.zeros(0, kind)
    count = _count_valid(rows)
    # Whole passes only: the images that go through the network together stay the same.
    if count < header["num_examples"]:
        count -= count % header["images_per_pass"]
    num_bad = int(np.isnan(rows["probabilities"][:count]).all(axis=1).sum())
    file.truncate(start + count * kind.itemsize)
    log.info("%s: resuming after %d of %d images", path, count, header["num_examples"])
    return count, num_bad


def _count_valid(rows):
    """Rows up to the first that is torn, altered or out of place."""
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[first:first + _ROWS_AT_ONCE]
        good = (part["crc"] == _checksums(part)) & (
            part["index"] == np.arange(first, first + len(part)))
        if not good.all():
            return first + int(np.argmin(good))
    return len(rows)


def _checksums(rows):
    """CRC-32 of each row but for its last field, the CRC itself."""
    length = rows.dtype.fields["crc"][1]
    return [zlib.crc32(row.tobytes()[:length]) for row in rows]


def stored_ids(names: Sequence[bytes], room: int) -> np.ndarray:
    """Ids (bytes) as an array of `room` bytes each; numpy alone would cut longer ones silently."""
    longest = max(names, key=len, default=b"")
    if len(longest) > room:
        raise DataError(f"example id of {len(longest)} bytes, above {room}: {longest[:60]!r}...")
    return np.array(names, f"S{room}")


@contextlib.contextmanager
def _storage_errors(flag):
    try:
        yield
    except OSError as error:
        raise StorageError(f"{flag}: {error.strerror or error}") from None


def _require_file(path):
    """A device, a FIFO or a folder cannot be read again."""
    if os.path.lexists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise UsageError(f"predictions {path}: is not a regular file")


def _require_room(path, needed):
    """Hours of work shall not end at a full disk; some file systems do not tell what is free."""
    total, _, free = shutil.disk_usage(path)
    if total and needed > free:
        raise StorageError(f"--predictions={path} needs {needed:,} bytes, {free:,} are free")
