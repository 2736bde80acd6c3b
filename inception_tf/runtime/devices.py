"""Devices: one, all of this machine, or all of many machines, behind tf.distribute."""

import functools

import tensorflow as tf

from inception_tf.errors import UsageError
from inception_tf.runtime.cluster import ALONE
from inception_tf.runtime.peers import forming


def make_strategy(kind="auto", cluster=ALONE, startup_timeout_s=120.0):
    """The tf.distribute strategy over the devices, one per kind and process.

    Args:
        kind: "one" takes the first GPU, else the CPU; "mirrored" every GPU of this
            machine, else every logical CPU; "multi_worker" those of all workers;
            "auto" what the cluster and the number of GPUs suggest.
        cluster: the processes that train together (cluster.read_cluster).
        startup_timeout_s: how long the others may take to answer, and to form a cluster.

    Raises:
        UsageError: `kind` does not fit the cluster.
        PeerLostError: some workers do not answer.
    """
    several = len(cluster.workers) > 1
    if kind == "auto":
        kind = "multi_worker" if several else "mirrored"
        if not several and len(tf.config.list_logical_devices("GPU")) < 2:
            kind = "one"
    if several != (kind == "multi_worker"):
        raise UsageError(f"--strategy={kind} with {len(cluster.workers)} worker(s): set TF_CONFIG "
                         "or start with srun or `inception-tf launch` for multi_worker")
    with forming(cluster, startup_timeout_s):
        return _strategy(kind, cluster)


def colors_on_device(choice):
    """Whether --color_on=`choice` means the device: "auto" does on a GPU or TPU."""
    accelerated = any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU"))
    return choice == "device" or (choice == "auto" and accelerated)


def split_batch(strategy, batch):
    """`batch`, this worker's dict of tensors [R n, ...], as parts [n, ...] of its R replicas."""
    return strategy.experimental_distribute_values_from_function(
        lambda context: {k: _own_part(strategy, context, v) for k, v in batch.items()})


def split_batches(strategy, steps, names):
    """Lists (one a step) of batches (one a pass) as parts [K, P, n, ...] of this worker's replicas.

    The entries `names` of each batch [R n, ...] are taken, those that it has.
    """
    def part(context):
        return {name: tf.stack([tf.stack([_own_part(strategy, context, batch[name])
                                          for batch in step]) for step in steps])
                for name in names if name in steps[0][0]}

    return strategy.experimental_distribute_values_from_function(part)


def _own_part(strategy, context, values):
    """The share of this worker's `values` [R n, ...] that the replica of `context` holds."""
    replicas = len(strategy.extended.worker_devices)
    i = context.replica_id_in_sync_group % replicas
    return values[i * len(values) // replicas:(i + 1) * len(values) // replicas]


def same_on_replicas(strategy, value):
    """`value` (a tensor) given to each of this worker's replicas."""
    return strategy.experimental_distribute_values_from_function(lambda context: value)


def local(strategy, value):
    """This worker's first value: for values that are equal on all replicas."""
    return strategy.experimental_local_results(value)[0]


def gather_equal(strategy, number):
    """Whether all workers called this with the same int (below 2**31)."""
    @tf.function(autograph=False)
    def spread():
        def on_replica():
            context = tf.distribute.get_replica_context()
            # Sums of 16-bit halves are exact in float64 however many workers there are.
            halves = tf.constant([number >> 16, number & 0xFFFF], tf.float64)
            return context.all_reduce("SUM", tf.identity(tf.concat([halves, halves**2], 0)))
        return local(strategy, strategy.run(on_replica))

    count = strategy.num_replicas_in_sync
    total, squares = spread().numpy().reshape(2, 2)
    return bool((total**2 == squares * count).all())


def from_first(strategy, number):
    """The int (below 2**31) that the first worker called this with, on every worker."""
    @tf.function(autograph=False)
    def spread():
        def on_replica():
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group, 0)
            return context.all_reduce("SUM", tf.where(is_first, tf.constant(number, tf.float64), 0))
        return local(strategy, strategy.run(on_replica))

    return int(spread())


# Cached: a second MirroredStrategy in one process reuses the first one's collective
# keys, and its first all-reduce of another shape ends with "Shape mismatch in the
# collective instance" (TensorFlow 2.21).
@functools.cache
def _strategy(kind, cluster):
    if kind == "one":
        return tf.distribute.OneDeviceStrategy(_devices()[0])
    if kind == "mirrored":
        return tf.distribute.MirroredStrategy(_devices())
    return _multi_worker(cluster)


def _multi_worker(cluster):
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.workers)}), task_type="worker",
        task_id=cluster.index, rpc_layer="grpc")
    return tf.distribute.MultiWorkerMirroredStrategy(resolver)


def _devices():
    names = {kind: [d.name for d in tf.config.list_logical_devices(kind)]
             for kind in ("GPU", "CPU")}
    return names["GPU"] or names["CPU"]
