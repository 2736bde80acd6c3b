"""Checkpoints written while training continues: one thread, at most one in flight."""

import contextlib
import logging
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inception_tf.errors import CheckpointError, StorageError
from inception_tf.runs import checkpoint
from inception_tf.runtime.signals import patience

log = logging.getLogger("inception_tf")

# Storage that fails so often in a row will not come back by itself.
MAX_FAILURES = 3


class BackgroundSaver:
    """Writes and retains the checkpoints below `root`, of which it is the only writer.

    The arrays handed over are a snapshot: the caller may continue at once, and pays for it
    with their memory until they are written. A save that storage refused is logged and
    training continues with the checkpoint before it; MAX_FAILURES in a row, or a failure
    of the last one, are an error.
    """

    def __init__(self, root: str | os.PathLike, keep: int, keep_best: int) -> None:
        self.root, self.keep, self.keep_best = root, keep, keep_best
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._failures = 0
        Path(root).mkdir(parents=True, exist_ok=True)
        checkpoint.remove_leftovers(root)

    def save(self, step: int, arrays: Mapping[str, np.ndarray], entries: Mapping[str, Any],
             ) -> None:
        """Starts writing; waits first for a save in flight.

        Raises:
            StorageError, NonFiniteError: see `check`.
        """
        self.wait()
        self.check()
        self._thread = threading.Thread(target=self._write, args=(step, arrays, entries),
                                        name="checkpoint writer")
        self._thread.start()

    def add_scores(self, step: int, scores: Mapping[str, float]) -> None:
        """Puts a scoring of `step` into its manifest, if that step was saved."""
        self.wait()
        if not checkpoint.folder_of(self.root, step).exists():
            return
        try:
            checkpoint.add_entries(self.root, step, {SCORES: scores})
        except (CheckpointError, StorageError) as error:
            log.warning("scores of step %d not noted in its checkpoint: %s", step, error)

    def check(self) -> None:
        """Raises what ended the last save, if training should not go on after it.

        Raises:
            StorageError: the last MAX_FAILURES saves failed, or the folder is not there any more.
            NonFiniteError: an array was not finite; nothing of that step was written.
        """
        self._require_root()
        is_storage = isinstance(self._error, StorageError)
        if self._error is not None and (not is_storage or self._failures >= MAX_FAILURES):
            raise self._error

    def finish(self) -> None:
        """As `wait`, and an error where the last save is not on disk."""
        self.wait()
        self.check()
        if self._error is not None:
            raise self._error
        self._retain()

    def wait(self) -> None:
        """Returns when no save is in flight, whatever became of it."""
        if self._thread is not None:
            with patience():
                self._thread.join()
            self._thread = None

    def _write(self, step, arrays, entries):
        try:
            self._require_root()
            checkpoint.save(self.root, step, arrays, entries, make_root=False)
            self._error, self._failures = None, 0
        except StorageError as error:
            self._failures += 1
            self._error = error
            if os.path.isdir(self.root):  # else `check` says it
                log.error("%s (failure %d of at most %d in a row; training continues)", error,
                          self._failures, MAX_FAILURES)
        except Exception as error:  # belongs to the main thread, which asks for it
            self._error = error
        self._retain()

    def _require_root(self):
        if not os.path.isdir(self.root):
            raise StorageError(f"{self.root} was removed or moved away during the run: nothing "
                               "more is written there")

    def _retain(self):
        with contextlib.suppress(OSError):
            retain(self.root, self.keep, self.keep_best)


# Written into a manifest by the scoring of that step: name -> number.
SCORES = "scores"
CRITERION = "ema_top1_error"


def retain(root: str | os.PathLike, keep: int, keep_best: int = 0) -> None:
    """Deletes all but the `keep` newest steps and the `keep_best` of lowest CRITERION.

    A step whose files fail verification does not count as kept, so the last valid one
    is never deleted.
    """
    found = checkpoint.steps(root)
    kept = _first_valid(root, reversed(found), keep)
    newest = set(found[found.index(kept[-1]):]) if len(kept) == keep else set(found)
    best = _first_valid(root, from_best_to_worst(root, found), keep_best)
    for step in set(found) - newest - set(best):
        checkpoint.remove(checkpoint.folder_of(root, step))


def _first_valid(root, steps, count):
    """The first `count` of `steps` whose files are whole, in their order."""
    valid = []
    for step in steps:
        if len(valid) == count:
            break
        try:
            checkpoint.verify(checkpoint.folder_of(root, step))
            valid.append(step)
        except CheckpointError:
            continue
    return valid


def from_best_to_worst(root: str | os.PathLike, steps: Iterable[int]) -> list[int]:
    """Those of `steps` that were scored, by CRITERION; of equal ones the newest first."""
    errors = {}
    for step in steps:
        try:
            scores = checkpoint.read_manifest(checkpoint.folder_of(root, step)).get(SCORES, {})
            errors[step] = scores[CRITERION]
        except (CheckpointError, KeyError):
            continue
    return sorted(errors, key=lambda step: (errors[step], -step))
