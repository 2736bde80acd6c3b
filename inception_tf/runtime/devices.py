"""Devices: one, all of this machine, or all of many machines, behind tf.distribute."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from inception_tf.errors import UsageError
from inception_tf.runtime.cluster import ALONE, Cluster, read_cluster
from inception_tf.runtime.hang import StallWatchdog
from inception_tf.runtime.peers import forming, naming_lost_peers
from inception_tf.runtime.signals import StopSignals


@dataclass(frozen=True)
class Devices:
    """What a training or a scoring computes on.

    strategy: over the devices of all workers.
    cluster: the workers, and which of them this process is.
    stop: the stop signals; one to any worker ends all of them between two steps.
    watchdog: to be entered where work begins that completes something again and again.
    """

    strategy: tf.distribute.Strategy
    cluster: Cluster
    stop: StopSignals
    watchdog: StallWatchdog

    @property
    def number(self) -> int:
        """Devices over all workers."""
        return self.strategy.num_replicas_in_sync

    def require_agreement(self, what: str, number: int) -> None:
        """Raises UsageError unless all workers called this with the same int (below 2**31)."""
        if self.cluster.peers and not _all_equal(self.strategy, number):
            raise UsageError(f"the workers do not have the same {what}; this is worker "
                             f"{self.cluster.index} of {len(self.cluster.workers)}")


@contextlib.contextmanager
def devices(kind: str, startup_timeout_s: float, stall_timeout_s: float,
            stands: Callable[[], str] = str) -> Iterator[Devices]:
    """The Devices of this process, which joins its cluster, if there is one.

    Args:
        kind: as `make_strategy` takes it.
        startup_timeout_s: as `make_strategy` takes it.
        stall_timeout_s: of the watchdog.
        stands: what remains of the work, for the line that a signal ends it with.

    Raises:
        UsageError: `kind` does not fit the cluster, or TF_CONFIG is damaged.
        PeerLostError: some workers do not answer, now or later inside.
    """
    cluster = read_cluster(os.environ, kind)
    with StopSignals() as stop, naming_lost_peers(cluster.peers):
        stop.stands = stands
        with stop.at_once():
            strategy = make_strategy(kind, cluster, startup_timeout_s)
        stop.watch()
        yield Devices(strategy, cluster, stop, StallWatchdog(stall_timeout_s))


def make_strategy(kind: str = "auto", cluster: Cluster = ALONE,
                  startup_timeout_s: float = 120.0) -> tf.distribute.Strategy:
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


def colors_on_device(choice: str) -> bool:
    """Whether --color_on=`choice` means the device: "auto" does on a GPU or TPU."""
    return choice == "device" or (choice == "auto" and has_accelerator())


def set_arithmetic(deterministic: bool, tf32: bool) -> None:
    """What a GPU does that a CPU does not: sums in any order, products of 10 bits of mantissa."""
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.config.experimental.enable_tensor_float_32_execution(tf32)


def has_accelerator() -> bool:
    """Whether TensorFlow has a GPU or TPU."""
    return any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU"))


def split_batch(strategy: tf.distribute.Strategy, batch: Mapping[str, tf.Tensor]) -> Any:
    """`batch`, this worker's dict of tensors [R n, ...], as parts [n, ...] of its R replicas."""
    return strategy.experimental_distribute_values_from_function(
        lambda context: {k: _own_part(strategy, context, v) for k, v in batch.items()})


def split_batches(strategy: tf.distribute.Strategy, steps: Sequence[Sequence[Any]],
                  names: Sequence[str]) -> Any:
    """Lists (one a step) of batches (one a pass) as parts [K, P, n, ...] of this worker's replicas.

    The entries `names` of each batch [R n, ...] are taken, those that it has. They are cut and
    stacked on the host, then copied to the replica's device once: a GPU cannot stack bytes.
    """
    def part(context):
        own = {name: _stacked(strategy, context, steps, name)
               for name in names if name in steps[0][0]}
        with tf.device(strategy.extended.worker_devices[_place(strategy, context)]):
            return {name: tf.identity(values) for name, values in own.items()}

    return strategy.experimental_distribute_values_from_function(part)


def _stacked(strategy, context, steps, name):
    with tf.device("CPU:0"):
        parts = [[_own_part(strategy, context, batch[name]) for batch in step] for step in steps]
        if len(steps) == len(steps[0]) == 1:  # no copy
            return parts[0][0][tf.newaxis, tf.newaxis]
        return tf.stack([tf.stack(step) for step in parts])


def _own_part(strategy, context, values):
    """The share of this worker's `values` [R n, ...] that the replica of `context` holds."""
    replicas, i = len(strategy.extended.worker_devices), _place(strategy, context)
    if replicas == 1:
        return values
    return values[i * len(values) // replicas:(i + 1) * len(values) // replicas]


def _place(strategy, context):
    """Number of the replica of `context` among this worker's."""
    return context.replica_id_in_sync_group % len(strategy.extended.worker_devices)


def same_on_replicas(strategy: tf.distribute.Strategy, value: tf.Tensor) -> Any:
    """`value` (a tensor) given to each of this worker's replicas."""
    return strategy.experimental_distribute_values_from_function(lambda context: value)


def local(strategy: tf.distribute.Strategy, value: Any) -> Any:
    """This worker's first value: for values that are equal on all replicas."""
    return strategy.experimental_local_results(value)[0]


def _all_equal(strategy, number):
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


def from_first(strategy: tf.distribute.Strategy, number: int) -> int:
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
