"""What the framework adds to an update, and what an update sends.

    python -m benchmarks.overhead [--quick]

Time: a whole update against the bare loss and gradients of the same batch on the same replicas (the
floor), interleaved; the rest is reduction, clipping, the check for non-finite numbers, optimizer,
averages and the call itself. On one device, on two logical CPUs of one process, and on two workers
on loopback with a core each. With more than one replica it includes the wait for the slower one;
on one machine there is no real network.

Bytes: what each of two workers sends per update (counters of the loopback device, so nothing else
may use it meanwhile), against the size of the network's parameters.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import harness

# name: preset, settings, strategy, updates per call, rounds.
CASES = {
    "demo network": ("demo", {"global_batch": 32}, "one", 1, 15),
    "demo network, 20 updates a call": (
        "demo", {"global_batch": 32, "steps_per_call": 20}, "one", 20, 7),
    "demo network, two logical CPUs": ("demo", {"global_batch": 32}, "mirrored", 1, 15),
    "demo network, two workers": ("demo", {"global_batch": 32}, "multi_worker", 1, 15),
    "tiny network, two workers": ("tiny", {}, "multi_worker", 1, 15),
    "inception_resnet_v2_released at 299": (
        "paper", {"net": "inception_resnet_v2_released", "global_batch": 8, "replica_batch": 8},
        "one", 1, 5),
}
QUICK = {"tiny network, two workers": ("tiny", {"steps_per_call": 2}, "multi_worker", 2, 1)}


def main():
    """Prints a line a case; keeps the result."""
    arguments = harness.arguments(__doc__, child="")
    cases = QUICK if arguments.quick else CASES
    if arguments.child:
        case = cases[arguments.child]
        print(json.dumps(measure(*case, cluster=_take_devices(case[2]))))
        return True
    result = {"cases": {}}
    for name, case in cases.items():
        words = ["-m", "benchmarks.overhead", f"--child={name}", *["--quick"] * arguments.quick]
        result["cases"][name] = row = _run(words, 2 if case[2] == "multi_worker" else 1)
        print(f"{name}: {1000 * row['update']['median']:.1f} ms an update, "
              f"{100 * row['outside_share']:.1f} % of it outside loss and gradients", flush=True)
        if "sent_per_update" in row:
            print(f"    {row['sent_per_update']:,.0f} bytes sent by each of two workers, "
                  f"{row['sent_per_update'] / row['parameter_bytes']:.3f} of its "
                  f"{row['parameter_bytes']:,} bytes of parameters", flush=True)
    return harness.keep("overhead", result, arguments.quick)


def _run(words, num_workers):
    """What `python WORDS` printed; with several workers, the first."""
    from inception_tf.commands.launch import free_ports
    from inception_tf.runtime.cluster import Cluster

    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(num_workers))
    environments = [{"TF_CONFIG": Cluster(addresses, i).tf_config()} for i in range(num_workers)]
    with ThreadPoolExecutor(num_workers) as pool:
        runs = pool.map(lambda e: harness.process(words, e), environments)
        return [json.loads(run["output"]) for run in runs][0]


def _take_devices(strategy):
    """The cluster of this process, after it took its own core or made two logical CPUs."""
    from inception_tf.runtime.cluster import read_cluster

    cluster = read_cluster(os.environ)
    if strategy == "multi_worker":  # before TensorFlow counts the cores
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[cluster.index]})
    if strategy == "mirrored":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return cluster


def measure(preset, settings, strategy, updates, rounds, cluster):
    """Seconds of an update, whole and bare, and the share outside loss and gradients.

    With several workers also the bytes that each sends per update.
    """
    step, batches = step_and_batches(preset, settings, strategy, cluster)
    one_bare = _bare_update(step, batches)

    def whole():
        step.dispatch([batches] * updates).rows()

    def bare():
        for _ in range(updates):
            one_bare()

    clocks = harness.interleaved({"whole": whole, "bare": bare}, rounds, warmup=2)
    seconds = {name: found["wall"] for name, found in clocks.items()}
    row = {
        "replicas": step.strategy.num_replicas_in_sync,
        "update": harness.spread([s / updates for s in seconds["whole"]]),
        "bare": harness.spread([s / updates for s in seconds["bare"]]),
        "outside_share": 1.0 - 1.0 / harness.ratio(seconds["whole"], seconds["bare"]),
    }
    if cluster.peers:
        row["sent_per_update"] = _bytes_of(whole, 10 * rounds) / updates / len(cluster.workers)
        row["parameter_bytes"] = sum(4 * v.value.shape.num_elements() for v in step.state.trainable)
    return row


def step_and_batches(preset_name, settings, strategy, cluster):
    """(TrainStep, this worker's batches of one update) of random images."""
    import numpy as np
    import tensorflow as tf

    from inception_tf.config import preset
    from inception_tf.runs.network import build_network
    from inception_tf.runtime.devices import make_strategy
    from inception_tf.training.compilation import steps_per_call_of
    from inception_tf.training.schedule import Schedule
    from inception_tf.training.state import TrainState
    from inception_tf.training.step import TrainStep

    config = preset(preset_name).replace(**settings)
    strategy = make_strategy(strategy, cluster)
    classes = 1000 if preset_name == "paper" else 20
    with strategy.scope():
        model = build_network(config.network, classes, precision=config.execution.precision)
    state = TrainState(strategy, model, config.optimization, config.execution.precision)
    random = np.random.default_rng(cluster.index)
    count = config.optimization.global_batch // len(cluster.workers)
    size = config.network.image_size
    batch = {
        "image": tf.constant(random.uniform(-1, 1, (count, size, size, 3)), tf.float32),
        "label": tf.constant(random.integers(0, classes, count), tf.int32),
        "weight": tf.ones([count]),
    }
    return TrainStep(strategy, model, state, Schedule(config.optimization, 10_000), 0,
                     config.execution,
                     steps_per_call=steps_per_call_of(config, len(cluster.workers), 1)), [batch]


def _bare_update(step, batches):
    """Function that computes each replica's loss and gradients, and nothing across replicas."""
    import tensorflow as tf

    from inception_tf.runtime.devices import split_batch

    part = split_batch(step.strategy, batches[0])

    def on_replica(batch):
        statistics = [tf.convert_to_tensor(v.value) for v in step.state.statistics]
        seed = step.replica_pass.seed_of(0, 0)
        gradients, changed, sums = step.replica_pass(batch, seed, statistics)
        # Summed, so that nothing is pruned as unused.
        return tf.add_n([tf.reduce_sum(t[..., :1]) for t in gradients + changed]) + sums["loss"]

    @tf.function
    def bare():
        return step.strategy.experimental_local_results(step.strategy.run(on_replica, (part,)))

    return lambda: [value.numpy() for value in bare()]


def _bytes_of(call, count):
    """Bytes over loopback, of all processes, in one of `count` calls."""
    before = _loopback_bytes()
    for _ in range(count):
        call()
    return (_loopback_bytes() - before) / count


def _loopback_bytes():
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "lo":
            return int(counters.split()[8])
    raise RuntimeError("there is no loopback device")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(not main())
