"""Metrics as a CSV a spreadsheet reads and as TensorBoard events, side by side."""

import csv
import os
from pathlib import Path

import tensorflow as tf


class MetricsWriter:
    """Rows of numbers by step: FOLDER/metrics.csv and TensorBoard events in FOLDER.

    Opening it drops rows after `resume_step`, so that a resumed run has no step twice.
    The columns are those of the first row.
    """

    def __init__(self, folder, resume_step=0):
        self.path = Path(folder) / "metrics.csv"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _drop_rows_after(self.path, resume_step)
        self._events = tf.summary.create_file_writer(str(folder))

    def write(self, step, values):
        """One row: `values` (name -> float) of `step`, on disk when this returns."""
        row = {"step": step, **{name: float(v) for name, v in values.items()}}
        is_new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            rows = csv.DictWriter(file, fieldnames=list(row))
            if is_new:
                rows.writeheader()
            rows.writerow(row)
        with self._events.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._events.flush()

    def close(self):
        """Closes the TensorBoard file."""
        self._events.close()


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
