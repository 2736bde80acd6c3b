"""Metrics as a CSV a spreadsheet reads and as TensorBoard events, side by side."""

import contextlib
import csv
import errno
import io
import logging
import os
from pathlib import Path

import tensorflow as tf

log = logging.getLogger("inception_tf")


class MetricsWriter:
    """Rows of numbers by step: FOLDER/metrics.csv and TensorBoard events in FOLDER.

    Opening it drops rows after `resume_step`, so that a resumed run has no step twice.
    The columns are those of the first row. Storage that fails costs a warning, no
    training; the rows it refused are written with the next one.
    """

    def __init__(self, folder, resume_step=0):
        self.path = Path(folder) / "metrics.csv"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _drop_rows_after(self.path, resume_step)
        self._rows = []
        self._events = tf.summary.create_file_writer(str(folder))

    def write(self, step, values):
        """One row: `values` (name -> float) of `step`, on disk when this returns."""
        self._rows.append({"step": step, **{name: float(v) for name, v in values.items()}})
        with tolerating_full_disk("metrics", step):
            _append(self.path, self._rows)
            self._rows.clear()
            with self._events.as_default(step=step):
                for name, value in values.items():
                    tf.summary.scalar(name, value)
            self._events.flush()

    def close(self):
        """Writes what storage refused so far, once more, and closes the TensorBoard file."""
        if self._rows:
            with tolerating_full_disk("last rows of metrics", self._rows[-1]["step"]):
                _append(self.path, self._rows)
        with contextlib.suppress(tf.errors.OpError):
            self._events.close()


@contextlib.contextmanager
def tolerating_full_disk(what, step):
    """Turns a failed write of something training does not depend on into a warning."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        log.warning("%s of step %d not written, training goes on: %.200s", what, step, error)


def read_metrics(path):
    """The rows of a metrics.csv as dicts of floats; empty when there is no file."""
    path = Path(path)
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def write_atomically(path, text):
    """Replaces `path` by `text`: the old file or the new one, never a part."""
    aside = Path(f"{path}.tmp-{os.getpid()}")
    aside.write_text(text)
    os.replace(aside, path)


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
    if not path.exists():
        return
    lines = path.read_text().splitlines(keepends=True)
    kept = lines[:1] + [line for line in lines[1:] if _step_of(line) <= step]
    if len(kept) < 2:
        path.unlink()
    elif len(kept) < len(lines):
        write_atomically(path, "".join(kept))


def _step_of(line):
    """Step of a CSV row; a row cut by a crash counts as after everything."""
    first = line.split(",", 1)[0]
    return int(first) if line.endswith("\n") and first.isdigit() else float("inf")
