"""Metrics as a CSV a spreadsheet reads and as TensorBoard events, side by side."""

import contextlib
import csv
import errno
import io
import itertools
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from inception_tf import strict_json
from inception_tf.errors import UsageError
from inception_tf.runtime.files import write_atomically

log = logging.getLogger("inception_tf")

# Columns of a run's metrics files, after the step.
METRICS = {
    "train": ("epoch", "loss", "cross_entropy", "error", "learning_rate", "grad_norm",
              "images_per_second", "bad_examples", "skipped_steps"),
    "validation": ("epoch", "num_examples", *(f"{weights}_{rate}" for weights in ("raw", "ema")
                                              for rate in ("top1_error", "top5_error",
                                                           "cross_entropy"))),
}
# Two million rows.
_MAX_BYTES = 2**29
# As Python writes a float; and those of them that are counts.
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?|nan|-?inf")
_COUNTS = ("step", "num_examples", "bad_examples", "skipped_steps")


class MetricsWriter:
    """Rows of numbers by step: FOLDER/metrics.csv and TensorBoard events in FOLDER.

    Opening it drops rows after `resume_step`, so that a resumed run has no step twice. The
    columns are those of the first row. Storage that fails costs a warning, no training; the rows
    it refused are written with the next one.

    Raises: UsageError, from opening, when the file is damaged; it is then left as it is.
    """

    def __init__(self, folder: str | os.PathLike, resume_step: int = 0):
        self.path = Path(folder) / "metrics.csv"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _drop_rows_after(self.path, resume_step)
        self._rows = []
        self._events = tf.summary.create_file_writer(str(folder))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One row: `values` (name -> float) of `step`, on disk when this returns."""
        self._rows.append({"step": step, **{name: float(v) for name, v in values.items()}})
        with _tolerating_full_disk("metrics", step):
            _append(self.path, self._rows)
            self._rows.clear()
            with self._events.as_default(step=step):
                for name, value in values.items():
                    tf.summary.scalar(name, value)
            self._events.flush()

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Name -> Markdown, for TensorBoard alone."""
        with _tolerating_full_disk("texts", step), self._events.as_default(step=step):
            for name, text in texts.items():
                tf.summary.text(name, text)
            self._events.flush()

    def write_images(self, step: int, name: str, images: tf.Tensor) -> None:
        """Images, float32 [n, H, W, 3] in [-1, 1], for TensorBoard alone."""
        with _tolerating_full_disk("images", step), self._events.as_default(step=step):
            tf.summary.image(name, (images + 1.0) / 2.0, max_outputs=len(images))
            self._events.flush()

    def close(self) -> None:
        """Writes what storage refused so far, once more, and closes the TensorBoard file."""
        if self._rows:
            with _tolerating_full_disk("last rows of metrics", self._rows[-1]["step"]):
                _append(self.path, self._rows)
        with contextlib.suppress(tf.errors.OpError):
            self._events.close()


@contextlib.contextmanager
def _tolerating_full_disk(what, step):
    """Turns a failed write of something training does not depend on into a warning."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        log.warning("%s of step %d not written, training continues: %.200s", what, step, error)


def read_metrics(path: str | os.PathLike,
                 columns: Sequence[str] | None = None) -> list[dict[str, float]]:
    """The rows of a metrics.csv, by ascending step; none when there is no file.

    What follows the last line's end is no row: a process is writing it, or died of it.

    Args:
        columns: names after "step" that the file must have; None takes any.

    Raises:
        UsageError: it is damaged; names the line and what is wrong there.
    """
    rows = list(_rows(path, columns))
    for number, (before, row) in enumerate(itertools.pairwise(rows), start=3):
        if row["step"] <= before["step"]:
            raise _damaged(path, number, f"step {row['step']:g} after {before['step']:g}")
    return rows


def metrics_of(model_dir: str | os.PathLike, split: str) -> list[dict[str, float]]:
    """The rows that a run has of "train" or "validation"; UsageError when they are damaged."""
    return read_metrics(Path(model_dir) / split / "metrics.csv", METRICS[split])


def _rows(path, columns):
    header, *lines = _whole_lines(path) or [""]
    names = header.split(",")
    if header and (names[0] != "step" or len(set(names)) < len(names)
                   or columns and names != ["step", *columns]):
        raise _damaged(path, 1, f"the columns are {header!r:.200}")
    for number, line in enumerate(lines, start=2):
        cells = line.split(",")
        if len(cells) != len(names):
            raise _damaged(path, number, f"{len(cells)} values for {len(names)} columns")
        for name, cell in zip(names, cells, strict=True):
            if not _NUMBER.fullmatch(cell) or name in _COUNTS and not float(cell).is_integer():
                raise _damaged(path, number, f"{name} is {cell!r:.60}")
        yield dict(zip(names, map(float, cells), strict=True))


def _whole_lines(path):
    if not os.path.lexists(path):
        return []
    try:
        text = strict_json.content_of(path, max_bytes=_MAX_BYTES).decode()
    except UnicodeDecodeError as error:
        raise _damaged(path, error.object.count(b"\n", 0, error.start) + 1,
                       f"byte {error.object[error.start]:#x} is no UTF-8") from None
    return [line.removesuffix("\r") for line in text.split("\n")[:-1]]


def _damaged(path, line, what):
    return UsageError(f"{path} is damaged, line {line}: {what}; mend it, or move it away")


def _append(path, rows):
    """All of `rows` or nothing, flushed: a checkpoint that follows must find its rows."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, fieldnames=list(rows[0]))
    with path.open("ab", buffering=0) as file:
        start = file.tell()
        if start == 0:
            table.writeheader()
        table.writerows(rows)
        content = text.getvalue().encode()
        try:
            if file.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(start)
            raise


def _drop_rows_after(path, step):
    """Cuts what a run that resumes writes again, and what a killed one wrote half."""
    rows = read_metrics(path)
    if not path.exists():
        return
    kept = sum(row["step"] <= step for row in rows)
    content = path.read_bytes()
    head = b"".join(line + b"\n" for line in content.split(b"\n")[:kept + 1])
    if not kept:
        path.unlink()
    elif head != content:
        if kept == len(rows):
            log.warning("%s: the last line is torn and was cut", path)
        write_atomically(path, head.decode())
