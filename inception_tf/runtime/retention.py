"""Which checkpoints stay: the newest, and the best by validation error."""

import os
from collections.abc import Iterable

from inception_tf.errors import CheckpointError
from inception_tf.runtime import checkpoint

# Written into a manifest by the scoring of that step: name -> number.
SCORES = "scores"
CRITERION = "ema_top1_error"


def retain(root, keep, keep_best=0):
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
