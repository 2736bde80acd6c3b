"""Whether a run may resume in its folder: what its config and its checkpoints must agree on."""

import hashlib
import logging
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inception_tf.config import Config, field_groups
from inception_tf.data.sources import Source
from inception_tf.errors import CheckpointError, UsageError
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import CONFIG, checkpoints_of
from inception_tf.runs.metrics import METRICS, metrics_of
from inception_tf.runtime.devices import Devices

log = logging.getLogger("inception_tf")

# What may change when a run is resumed: when it stops, what it prints and keeps, where data
# lies and what computes it. All else would change the numbers.
CHANGEABLE = {
    "epochs", "max_steps", "log_every_steps", "eval_every_epochs", "checkpoint_every_epochs",
    "keep", "keep_best", "model_dir", "data_dir", "manual_dir", "strategy", "replica_batch",
    "eval_split", "allow_empty_classes", "max_bad_examples", "startup_timeout_s", "stall_timeout_s",
    "steps_per_call", "profile_steps", "on_non_finite", "max_skipped_steps", "compare",
}

# What each worker may have for itself.
LOCAL = {"model_dir", "data_dir", "manual_dir", "startup_timeout_s", "stall_timeout_s"}


def digest(config: Config) -> int:
    """31-bit number of the config's settings that must be equal on all workers."""
    values = {name: getattr(getattr(config, group), name)
              for name, group in field_groups().items() if name not in LOCAL}
    return int(hashlib.sha256(repr(values).encode()).hexdigest()[:8], 16) >> 1


def refuse_other_run(config: Config) -> None:
    """Raises UsageError when model_dir holds a run of another config, or damaged metrics."""
    folder = Path(config.runtime.model_dir)
    for split in METRICS:
        metrics_of(folder, split)
    if not checkpoint.steps(checkpoints_of(folder)):
        return
    path = folder / CONFIG
    if not path.is_file():
        raise UsageError(f"--model_dir={folder} has checkpoints but no {CONFIG}")
    if difference := _first_difference(Config.read(path), config):
        raise UsageError(f"--model_dir={folder} holds a run with {difference}: keep it, or take "
                         "another --model_dir")


def _first_difference(old, new):
    """Such as "--seed=0, now 1": a setting that would change the numbers; None if all agree."""
    for name, group in field_groups().items():
        before, now = (getattr(getattr(c, group), name) for c in (old, new))
        if before != now and name not in CHANGEABLE - _bound_by(new.optimization.schedule):
            return f"--{name}={_flag(before)}, now {_flag(now)}"
    return None


def _bound_by(schedule):
    """Settings that alter the learning rate under this schedule alone."""
    return {"epochs"} if schedule == "cosine" else set()


def _flag(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def machine_of(on: Devices) -> dict[str, str | int]:
    """What else decides the last bits of a sum: devices, threads, versions."""
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    return {
        "workers": len(on.cluster.workers),
        "replicas": on.number,
        "device": details.get("device_name", "GPU") if gpus else "CPU",
        "intra_op_threads": _intra_op_threads(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def check(manifest: Mapping[str, Any], config: Config, source: Source) -> None:
    """Whether a run of `config` on `source` may resume from a checkpoint of this manifest.

    Raises:
        CheckpointError: it is of a run with other settings.
        UsageError: its training split was another, or it was converted and never trained.
    """
    if "origin" in manifest:
        raise UsageError(f"--model_dir={config.runtime.model_dir} holds weights converted or "
                         "averaged, which cannot be resumed: take another --model_dir and give "
                         "that folder as --init_from")
    try:
        old = Config.from_json(manifest["config"], "its config")
        fingerprint, _ = manifest["data"]["fingerprint"], manifest["bad_examples"]
    except (KeyError, UsageError) as error:
        raise CheckpointError(f"not the manifest of a training run ({error})") from None
    if difference := _first_difference(old, config):
        raise CheckpointError(f"of a run with {difference}")
    if fingerprint != source.fingerprint:
        raise UsageError(f"--dataset={config.data.dataset}: the training split is not the one "
                         f"that --model_dir={config.runtime.model_dir} was trained on")


def warn_of_other_machine(manifest: Mapping[str, Any], machine: Mapping[str, str | int]) -> None:
    """One WARNING when bits cannot be those of a run that was never interrupted."""
    old = manifest.get("machine", {})
    changes = [f"{name} {old.get(name, 'unknown')}, now {value}"
               for name, value in machine.items() if old.get(name) != value]
    if changes:
        log.warning("resuming within rounding, not bitwise: the checkpoint was made with %s",
                    "; ".join(changes))


def _intra_op_threads():
    """Threads that share one operation; TensorFlow takes a processor each unless told."""
    return (tf.config.threading.get_intra_op_parallelism_threads()
            or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
            or len(os.sched_getaffinity(0)))
