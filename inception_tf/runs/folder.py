"""A run's folder: its config, and whether the run at hand may go on in it."""

import hashlib
import os
from pathlib import Path

from inception_tf.config import Config, field_groups
from inception_tf.errors import UsageError
from inception_tf.runs import checkpoint
from inception_tf.runs.metrics import METRICS, read_metrics, write_atomically
from inception_tf.runs.network import CHECKPOINTS, CONFIG

# What may change between the start of a run and its continuation: when it stops,
# what it prints and keeps, where data lies and what computes it. All else would
# bend the numbers.
CHANGEABLE = {
    "epochs", "max_steps", "log_every_steps", "eval_every_epochs", "checkpoint_every_epochs",
    "keep", "keep_best", "model_dir", "data_dir", "manual_dir", "strategy", "replica_batch",
    "eval_split", "allow_empty_classes", "max_bad_examples", "startup_timeout_s", "stall_timeout_s",
    "steps_per_call", "profile_steps", "on_non_finite", "max_skipped_steps",
}

# What each worker may have for itself.
LOCAL = {"model_dir", "data_dir", "manual_dir", "startup_timeout_s", "stall_timeout_s"}


def make_folder(model_dir):
    """Makes the run's folder; UsageError when it can't be made or written."""
    folder = Path(model_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"--model_dir={folder}: that, or a part of it, is no folder") from None
    except OSError as error:
        raise UsageError(f"--model_dir={folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"--model_dir={folder} is not writable")
    return folder


def digest(config):
    """31-bit number of the config's settings that must be equal on all workers."""
    values = {name: getattr(getattr(config, group), name)
              for name, group in field_groups().items() if name not in LOCAL}
    return int(hashlib.sha256(repr(values).encode()).hexdigest()[:8], 16) >> 1


def refuse_other_run(config):
    """Raises UsageError when model_dir holds a run of another config, or damaged metrics."""
    folder = Path(config.runtime.model_dir)
    for split in METRICS:
        metrics_of(folder, split)
    if not checkpoint.steps(folder / CHECKPOINTS):
        return
    path = folder / CONFIG
    if not path.is_file():
        raise UsageError(f"--model_dir={folder} has checkpoints but no {CONFIG}")
    old = Config.read(path)
    if difference := first_difference(old, config):
        raise UsageError(f"--model_dir={folder} holds a run with {difference}: keep it, or take "
                         "another --model_dir")


def metrics_of(model_dir: str | os.PathLike, split: str) -> list[dict[str, float]]:
    """The rows that a run has of "train" or "validation"; UsageError when they are damaged."""
    return read_metrics(Path(model_dir) / split / "metrics.csv", METRICS[split])


def write_config(config):
    """Writes config.json into model_dir, once it is sure that the run goes on there."""
    write_atomically(Path(config.runtime.model_dir) / CONFIG, config.to_json())


def first_difference(old, new):
    """"--seed=0, now 1" of a setting that would bend the numbers; None when all agree."""
    for name, group in field_groups().items():
        before, now = (getattr(getattr(c, group), name) for c in (old, new))
        if before != now and name not in CHANGEABLE:
            return f"--{name}={_flag(before)}, now {_flag(now)}"
    return None


def _flag(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else value
