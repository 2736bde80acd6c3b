"""What a watch has scored: a line of JSON per checkpoint, and the same for TensorBoard."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

import tensorflow as tf

from inception_tf import strict_json
from inception_tf.errors import StorageError, UsageError
from inception_tf.runtime.files import try_lock

log = logging.getLogger("inception_tf")

LINES = "scores.jsonl"


class _Row(TypedDict):
    step: int
    checkpoint_sha256: str


class WatchLog:
    """Scores of one run's checkpoints, in the order in which they were made.

    rows: dicts, those of earlier processes first.
    path: of the file of lines.
    """

    def __init__(self, path: Path, file: BinaryIO, rows: list[dict[str, Any]]):
        self.path, self.rows = path, rows
        self._file = file
        self._events = tf.summary.create_file_writer(str(path.parent))

    def has(self, step: int, sha256: str) -> bool:
        """Whether the checkpoint of this step, whose arrays have this hash, was scored."""
        return any((row["step"], row["checkpoint_sha256"]) == (step, sha256) for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Commits a row: `step`, `checkpoint_sha256` and anything else.

        Its numbers go to TensorBoard first: a kill in between has that point drawn twice,
        never a checkpoint scored and not drawn.

        Raises: StorageError when it cannot be written.
        """
        line = json.dumps(row, allow_nan=False) + "\n"
        try:
            with self._events.as_default(step=row["step"]):
                for name, value in row.items():
                    if isinstance(value, float):
                        tf.summary.scalar(name, value)
            self._events.flush()
            self._file.write(line.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except (OSError, tf.errors.OpError) as error:
            raise StorageError(f"{self.path}: scores of step {row['step']} not written: "
                               f"{error}") from None
        self.rows.append(row)


@contextlib.contextmanager
def open_watch_log(folder: str | os.PathLike) -> Iterator[WatchLog]:
    """The WatchLog in `folder`, made if there is none; one process at a time.

    Raises:
        UsageError: another process holds it, or its file is damaged.
        StorageError: it cannot be written.
    """
    path = Path(folder) / LINES
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+b")
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
    with file:
        if not try_lock(file.fileno(), path):
            raise UsageError(f"{path} is being written by another process: one --watch is enough")
        yield WatchLog(path, file, _read_rows(file, path))


def _read_rows(file, path):
    """The rows so far; what a kill left of the last one is cut."""
    file.seek(0)
    content = file.read()
    whole = content[:content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        log.warning("%s: the last line is torn and was cut", path)
        file.truncate(len(whole))
    return [_row(line, f"{path}, line {number},")
            for number, line in enumerate(whole.split(b"\n")[:-1], start=1)]


def _row(line, where):
    try:
        row = strict_json.parse(line, dict[str, Any], where)
        strict_json.shaped(row, _Row, where)
    except UsageError as error:
        raise UsageError(f"{error}; it has no scores: move it away") from None
    return row
