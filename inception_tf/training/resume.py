"""What a run writes into the manifest of its checkpoints, and asks of it before going on."""

import logging
import os
import platform

import keras
import numpy as np
import tensorflow as tf

from inception_tf.config import Config
from inception_tf.errors import CheckpointError, UsageError
from inception_tf.runs.folder import first_difference
from inception_tf.training.plan import total_steps

log = logging.getLogger("inception_tf")


def facts(config, source, machine, bad_examples):
    """The manifest's entries beside step and files; `machine` is machine_of's."""
    return {
        "config": config.to_json(),
        # Whoever watches the run knows by it when to stop.
        "last_step": total_steps(config, source.num_examples),
        "class_names": list(source.class_names),
        "data": {"name": source.name, "fingerprint": source.fingerprint},
        "machine": machine,
        "bad_examples": dict(bad_examples),
    }


def machine_of(strategy, cluster):
    """What else decides the last bits of a sum: devices, threads, versions."""
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    return {
        "workers": len(cluster.workers),
        "replicas": strategy.num_replicas_in_sync,
        "device": details.get("device_name", "GPU") if gpus else "CPU",
        "intra_op_threads": _intra_op_threads(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def check(manifest, config, source):
    """Whether a run of `config` on `source` may go on from a checkpoint of this manifest.

    Raises:
        CheckpointError: it is of a run with other settings.
        UsageError: its training split was another, or it was converted and never trained.
    """
    if "origin" in manifest:
        raise UsageError(f"--model_dir={config.runtime.model_dir} holds weights converted or "
                         "averaged, no run to go on with: take another --model_dir and give that "
                         "folder as --init_from")
    try:
        old = Config.from_json(manifest["config"], "its config")
        fingerprint, _ = manifest["data"]["fingerprint"], manifest["bad_examples"]
    except (KeyError, UsageError) as error:
        raise CheckpointError(f"not the manifest of a training run ({error})") from None
    if difference := first_difference(old, config):
        raise CheckpointError(f"of a run with {difference}")
    if fingerprint != source.fingerprint:
        raise UsageError(f"--dataset={config.data.dataset}: the training split is not the one "
                         f"that --model_dir={config.runtime.model_dir} was trained on")


def warn_of_other_machine(manifest, machine):
    """One WARNING when bits cannot be those of a run that was never interrupted."""
    old = manifest.get("machine", {})
    changes = [f"{name} {old.get(name, 'unknown')}, now {value}"
               for name, value in machine.items() if old.get(name) != value]
    if changes:
        log.warning("going on within rounding, not bitwise: the checkpoint was made with %s",
                    "; ".join(changes))


def _intra_op_threads():
    """Threads that share one operation; TensorFlow takes a processor each unless told."""
    return (tf.config.threading.get_intra_op_parallelism_threads()
            or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
            or len(os.sched_getaffinity(0)))
