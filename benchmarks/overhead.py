"""What the framework adds to an update, and what an update sends.

    python -m benchmarks.overhead [--quick]

Time: a whole update beside the bare loss and gradients of the same batch in the same process, in
turn; what remains is reduction, clipping, the look for non-finite numbers, optimizer, averages and
the call itself. Bytes: what two workers on loopback really send a step (counters of the loopback
device, the difference between a longer and a shorter run), beside the network's parameters.
"""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks import harness

# name: preset, settings, images per update, updates per call, rounds.
CASES = {
    "demo network": ("demo", {"global_batch": 32}, 1, 15),
    "demo network, 20 updates a call": ("demo", {"global_batch": 32, "steps_per_call": 20}, 20, 7),
    "inception_resnet_v2_released at 299": (
        "paper", {"net": "inception_resnet_v2_released", "global_batch": 8, "replica_batch": 8}, 1,
        5),
}
QUICK = {"tiny network": ("tiny", {"steps_per_call": 2}, 2, 1)}
# Flags of two workers over the tiny preset's.
WORKERS = {"tiny network": [], "network of the demo": ["--net=inception_resnet_v2", "--width=0.25"]}
# Updates of the shorter and of the longer run of two workers.
STEPS = (10, 60)


def main():
    """Prints a line a case; keeps the result."""
    quick = harness.arguments(__doc__).quick
    result = {"time": {}, "bytes": {}}
    for name, case in (QUICK if quick else CASES).items():
        result["time"][name] = row = measure_time(*case)
        print(f"{name}: {1000 * row['update']['median']:.1f} ms an update, "
              f"{100 * row['outside_share']:.1f} % of it outside loss and gradients", flush=True)
    for name, flags in list(WORKERS.items())[:1 if quick else None]:
        result["bytes"][name] = row = measure_bytes(flags, (2, 6) if quick else STEPS)
        print(f"{name}: {row['sent_per_update']:,.0f} bytes sent by each of two workers an update, "
              f"{row['ratio']:.3f} of its {row['parameter_bytes']:,} bytes of parameters")
    harness.keep("overhead", result, quick)


def measure_time(preset, settings, updates, rounds):
    """Seconds of an update, whole and bare, and the share outside loss and gradients."""
    import tensorflow as tf

    step, batches = _step_and_batches(preset, settings)
    batch = {name: batches[0][name] for name in ("image", "label", "weight")}
    statistics = [tf.convert_to_tensor(v.value) for v in step.state.statistics]

    @tf.function
    def bare():
        gradients, changed, sums = step.strategy.run(
            step.replica_pass, args=(batch, 0, statistics))
        # Read, so that nothing is left out as unused.
        return tf.add_n([tf.reduce_sum(t[..., :1]) for t in gradients + changed]) + sums["loss"]

    def bare_updates():
        for _ in range(updates):
            bare().numpy()

    seconds = harness.interleaved({"whole": lambda: step.several([batches] * updates),
                                   "bare": bare_updates}, rounds, warmup=2)
    return {
        "update": harness.spread([s / updates for s in seconds["whole"]]),
        "bare": harness.spread([s / updates for s in seconds["bare"]]),
        "outside_share": 1.0 - 1.0 / harness.ratio(seconds["whole"], seconds["bare"]),
    }


def _step_and_batches(preset_name, settings):
    """(TrainStep, the batches of one update) of random images."""
    import numpy as np
    import tensorflow as tf

    from inception_tf.config import preset
    from inception_tf.evaluation.models import build_network
    from inception_tf.runtime.strategy import make_strategy
    from inception_tf.training.schedule import Schedule
    from inception_tf.training.state import TrainState
    from inception_tf.training.step import TrainStep

    config = preset(preset_name).replace(**settings)
    strategy = make_strategy("one")
    classes = 1000 if preset_name == "paper" else 20
    with strategy.scope():
        model = build_network(config.network, classes)
    state = TrainState(strategy, model, config.optimization)
    random = np.random.default_rng(0)
    count, size = config.optimization.global_batch, config.network.image_size
    batch = {
        "image": tf.constant(random.uniform(-1, 1, (count, size, size, 3)), tf.float32),
        "label": tf.constant(random.integers(0, classes, count), tf.int32),
        "weight": tf.ones([count]),
    }
    return TrainStep(strategy, model, state, Schedule(config.optimization, 10_000), 0,
                     config.execution), [batch]


def measure_bytes(flags, steps):
    """Bytes an update of two workers, from a shorter and a longer run."""
    with tempfile.TemporaryDirectory() as folder:
        _write_images(Path(folder))
        sent = [_bytes_of_run(folder, flags, count) for count in steps]
        parameters = _parameter_bytes(Path(folder) / f"run{steps[1]}")
    # The counter sees both workers' traffic.
    per_update = (sent[1] - sent[0]) / (steps[1] - steps[0]) / 2
    return {"sent_per_update": per_update, "parameter_bytes": parameters,
            "ratio": per_update / parameters}


def _bytes_of_run(folder, flags, count):
    before = _loopback_bytes()
    words = ["-m", "inception_tf", "launch", "--num_workers=2", "--", "train",
             "--preset=tiny", "--dataset=folder", *flags, f"--data_dir={folder}/images",
             f"--model_dir={folder}/run{count}", f"--max_steps={count}", "--epochs=1000",
             "--eval_every_epochs=0", "--checkpoint_every_epochs=0", "--log_every_steps=1000"]
    harness.process(words, {"TF_CPP_MIN_LOG_LEVEL": "3"})
    return _loopback_bytes() - before


def _loopback_bytes():
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "lo":
            return int(counters.split()[8])
    raise RuntimeError("there is no loopback device")


def _parameter_bytes(model_dir):
    from inception_tf.runtime import checkpoint

    arrays, _ = checkpoint.load_newest(model_dir / "checkpoints", print)
    trained = {name.partition("/")[2] for name in arrays if name.startswith("momentum/")}
    return sum(arrays[f"weights/{name}"].nbytes for name in trained)


def _write_images(folder):
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for split, count in (("train", 40), ("validation", 8)):
        for number in range(count):
            path = folder / "images" / split / f"class_{number % 4}" / f"{number:03}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 255, (90, 90, 3), np.uint8)).save(path)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
