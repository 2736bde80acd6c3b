"""Which checkpoint of a run is meant: newest, best, or a step. One meaning for every command."""

import logging
import os
import re
from pathlib import Path
from typing import TypedDict

from inception_tf import strict_json
from inception_tf.errors import CheckpointError, UsageError
from inception_tf.runs import checkpoint
from inception_tf.runs.saver import from_best_to_worst

log = logging.getLogger("inception_tf")

NEWEST, BEST = "newest", "best"
# Steps named in one message.
_MAX_NAMED = 10


class _Data(TypedDict):
    fingerprint: str


class _RunManifest(TypedDict):
    """What every command needs to know of a checkpoint's network."""

    config: str
    class_names: list[str]
    data: _Data


def steps_to_try(root: str | os.PathLike, which: str, name: str = "--checkpoint") -> list[int]:
    """The steps that `which` means: of "newest" and "best" the next ones too, for want of that.

    Args:
        root: the folder of a run's checkpoints.
        which: "newest", "best" (lowest top-1 error of the averaged weights on the validation
            split, of equal ones the newest) or a step.
        name: what the user calls it.

    Raises:
        UsageError: it is none of these, or not there.
    """
    if which not in (NEWEST, BEST) and not re.fullmatch("[0-9]{1,18}", which):
        raise UsageError(f"{name}={which!r:.60} is neither newest, best nor a step")
    found, model_dir = checkpoint.steps(root), Path(root).parent
    if not found:
        raise UsageError(f"{model_dir} has no checkpoint yet")
    if which == NEWEST:
        return found[::-1]
    there = "..., " * (len(found) > _MAX_NAMED) + ", ".join(map(str, found[-_MAX_NAMED:]))
    if which == BEST:
        if scored := from_best_to_worst(root, found):
            return scored
        raise UsageError(f"{name}=best: no checkpoint of {model_dir} was scored; there: {there}")
    if int(which) not in found:
        raise UsageError(f"{name}={which}: {model_dir} has no checkpoint of that step; there: "
                         f"{there}")
    return [int(which)]


def load_chosen(root: str | os.PathLike, which: str = NEWEST, name: str = "--checkpoint",
                ) -> checkpoint.Loaded:
    """(arrays, manifest) of the first valid one of `steps_to_try`.

    A warning says why one was skipped; a step that was named is never replaced.

    Raises:
        UsageError: as `steps_to_try`.
        CheckpointError: none is valid.
    """
    steps = steps_to_try(root, which, name)
    if which not in (NEWEST, BEST):
        return checkpoint.load_checked(root, steps[0], _require_run)
    return checkpoint.load_first(root, steps, log.warning, _require_run)


def _require_run(arrays, manifest):
    strict_json.shaped(manifest, _RunManifest, "its manifest", CheckpointError)
