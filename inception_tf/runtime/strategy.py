"""Devices: one, or every one of this machine, behind one tf.distribute interface."""

import functools

import tensorflow as tf

from inception_tf.errors import UsageError


# Cached: a second MirroredStrategy in one process reuses the first one's collective
# keys, and its first all-reduce of another shape ends with "Shape mismatch in the
# collective instance" (TensorFlow 2.21).
@functools.cache
def make_strategy(kind="auto"):
    """The tf.distribute strategy over this machine's devices, one per kind and process.

    Args:
        kind: "one" takes the first GPU, else the CPU; "mirrored" every GPU, else
            every logical CPU; "auto" is mirrored when there are several GPUs.

    Raises:
        UsageError: `kind` is none of these.
    """
    gpus = [d.name for d in tf.config.list_logical_devices("GPU")]
    cpus = [d.name for d in tf.config.list_logical_devices("CPU")]
    if kind not in ("auto", "one", "mirrored"):
        raise UsageError(f"--strategy={kind} is not one of auto, one, mirrored")
    if kind == "mirrored" or (kind == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy(gpus or cpus)
    return tf.distribute.OneDeviceStrategy((gpus or cpus)[0])


def split_batch(strategy, batch):
    """`batch` (a dict of tensors [R n, ...]) as per-replica parts [n, ...] in order."""
    replicas = strategy.num_replicas_in_sync

    def part(context):
        i = context.replica_id_in_sync_group
        return {k: v[i * len(v) // replicas:(i + 1) * len(v) // replicas]
                for k, v in batch.items()}

    return strategy.experimental_distribute_values_from_function(part)


def local(strategy, value):
    """The first replica's value: for values that are equal on all replicas."""
    return strategy.experimental_local_results(value)[0]
