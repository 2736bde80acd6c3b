"""Probabilities of one network for every image of a split, in one file that survives a kill.

    a line of JSON   the header: which split, seen how, by which checkpoint
    rows             one per record, in the order of the split, all of the same size:
                     record index, label, example id, K probabilities, CRC-32 of the row

Rows are appended as a run proceeds. A kill leaves at most a torn row at the end, which
is cut when the run goes on. Scores are computed from the stored numbers, never from
those in flight: a run, its resumption and a later ensemble agree to the last digit.
"""

import contextlib
import fcntl
import json
import logging
import os
import zlib
from pathlib import Path

import numpy as np

from inception_tf.errors import DataError, StorageError, UsageError

log = logging.getLogger("inception_tf")

FORMAT = "inception_tf predictions 1"
# The longest header read: 10,000 class names and a config stay far below.
MAX_HEADER_BYTES = 16_000_000
# Room for a file name of the longest kind, after "NAME/SPLIT#INDEX (".
ID_BYTES = 320
# What a run must have in common with the file it goes on in; "about" is for readers.
IDENTITY = ("dataset", "split", "data_fingerprint", "num_examples", "class_names", "network",
            "weights", "checkpoint_sha256", "protocol", "preprocessing", "images_per_pass",
            "views_per_pass")
_ROWS_AT_ONCE = 1024


class Predictions:
    """A predictions file, read through memory that the system pages in and out.

    Attributes:
        path: of the file.
        header: dict of IDENTITY's keys, and "about": what else was true of the run.
        probabilities: [N, K] float32, classes without the background, not renormalised.
        labels: [N] int32, -1 where the split has none.
        example_ids: N names.
        class_names: K names.
    """

    def __init__(self, path, header, rows):
        self.path, self.header = Path(path), header
        self.class_names = tuple(header["class_names"])
        self.probabilities = rows["probabilities"]
        self.labels = np.array(rows["label"])
        self.example_ids = [name.decode() for name in rows["example_id"]]

    def __len__(self):
        return len(self.labels)


class PredictionsWriter:
    """Appends rows to a predictions file; `count` rows are committed."""

    def __init__(self, path, file, header, count):
        self.path, self.count = Path(path), count
        self.num_examples = header["num_examples"]
        self._file, self._type = file, _row_type(header)

    def append(self, labels, example_ids, probabilities):
        """Commits the rows of the next images; they survive a kill when this returns.

        Raises:
            StorageError: the file system refused them.
        """
        rows = np.zeros(len(labels), self._type)
        rows["index"] = np.arange(self.count, self.count + len(labels))
        rows["label"], rows["example_id"] = labels, [_stored(name) for name in example_ids]
        rows["probabilities"] = probabilities
        rows["crc"] = _checksums(rows)
        try:
            self._file.write(rows.tobytes())
            self._file.flush()
        except OSError as error:
            raise StorageError(f"--predictions={self.path}: {error.strerror}") from None
        self.count += len(labels)

    @property
    def is_complete(self):
        """Whether every image has its row."""
        return self.count == self.num_examples


@contextlib.contextmanager
def predictions_writer(path, header):
    """A PredictionsWriter on a new file, or on the one that the same run left.

    A file of the same run keeps its whole rows; a torn one behind them is cut.

    Raises:
        UsageError: `path` is another file, that of another run, or in use by a process;
            it is left as it is.
        StorageError: it cannot be written.
    """
    try:
        file = open(path, "a+b")
    except OSError as error:
        raise UsageError(f"--predictions={path}: {error.strerror}") from None
    with file:
        _lock(file, path)
        count = _resume(file, path, header) if os.path.getsize(path) else _begin(file, header)
        yield PredictionsWriter(path, file, header, count)
        os.fsync(file.fileno())


def open_predictions(path):
    """The complete Predictions in `path`, every row verified.

    Raises:
        UsageError: there is no such file, or it is another's, or the run that writes it
            has not ended.
        DataError: a row is damaged.
    """
    try:
        with open(path, "rb") as file:
            header, start = _read_header(file, path)
    except OSError as error:
        raise UsageError(f"predictions {path}: {error.strerror}") from None
    total, kind = header["num_examples"], _row_type(header)
    stored = (os.path.getsize(path) - start) // kind.itemsize
    if stored < total:
        raise UsageError(f"predictions {path} hold {stored} of {total} images: let the run that "
                         "writes them end (the same command goes on where it stopped)")
    rows = np.memmap(path, kind, "r", offset=start, shape=(total,))
    valid = _count_valid(rows)
    if valid < total:
        raise DataError(f"predictions {path}: row {valid} of {total} is damaged")
    return Predictions(path, header, rows)


def _row_type(header):
    return np.dtype([
        ("index", "<i8"), ("label", "<i4"), ("example_id", f"S{ID_BYTES}"),
        ("probabilities", "<f4", (len(header["class_names"]),)), ("crc", "<u4"),
    ])


def _begin(file, header):
    line = json.dumps({"format": FORMAT, **header}, allow_nan=False).encode() + b"\n"
    file.write(line)
    file.flush()
    return 0


def _resume(file, path, header):
    """Rows to keep of the file of the same run; cuts what is behind them."""
    found, start = _read_header(file, path)
    refuse_other(found, json.loads(json.dumps(header)), f"--predictions={path}")
    kind = _row_type(found)
    whole = (os.path.getsize(path) - start) // kind.itemsize
    whole = min(whole, header["num_examples"])
    count = _count_valid(np.memmap(path, kind, "r", start, (whole,))) if whole else 0
    # Whole passes only: the images that go through the network together stay the same.
    if count < header["num_examples"]:
        count -= count % header["images_per_pass"]
    file.truncate(start + count * kind.itemsize)
    log.info("%s: going on after %d of %d images", path, count, header["num_examples"])
    return count


def refuse_other(found, wanted, what, keys=IDENTITY):
    """Raises UsageError naming the first of `keys` in which two headers differ."""
    for key in keys:
        if found.get(key) != wanted.get(key):
            raise UsageError(f"{what}: {key} is {_brief(found.get(key))}, not "
                             f"{_brief(wanted.get(key))}: take another file")


def _brief(value):
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:60]}...{text[-30:]}"


def _read_header(file, path):
    """(header, offset of the rows). Raises UsageError when the file is none of ours."""
    file.seek(0)
    line = file.readline(MAX_HEADER_BYTES)
    try:
        header = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise UsageError(f"{path} is not a predictions file ({FORMAT!r}): it is left as it is")
    missing = [key for key in IDENTITY if key not in header]
    if missing:
        raise UsageError(f"predictions {path}: the header has no {missing[0]}")
    return header, len(line)


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


def _stored(name):
    data = name.encode()
    if len(data) > ID_BYTES:
        raise DataError(f"example id of {len(data)} bytes, above {ID_BYTES}: {name:.60}...")
    return data


def _lock(file, path):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UsageError(f"--predictions={path} is being written by another process") from None
