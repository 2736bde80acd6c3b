"""What a checkpoint of a full Inception-v4 costs, with slots and averages.

    python -m benchmarks.save [--quick]

How long training is held up (the copy to host memory), how long the write takes in the background,
how fast a small network trains meanwhile relative to its speed without a write, and the peak memory
of a process that saves against one that does not. The floors: the same bytes copied in memory, and
written to a plain file and flushed.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import harness

# Saves, and seconds of updates without one.
ROUNDS, SECONDS = 5, 2.0
QUICK = (1, 0.2)


def main():
    """Prints what was seen; keeps the result."""
    arguments = harness.arguments(__doc__, child=0)
    if arguments.child:
        print(json.dumps(measure(arguments.quick, arguments.child - 1)))
        return True
    quick = ["--quick"] * arguments.quick
    words = ["-m", "benchmarks.save", *quick]
    # --child is the rounds + 1, since 0 is no child; a child with no round never saves.
    without, saves = (json.loads(harness.process([*words, f"--child={count + 1}"])["output"])
                      for count in (0, QUICK[0] if quick else ROUNDS))
    result = {**saves, "peak_mib_without_saving": without["peak_mib"]}
    print(f"{result['megabytes']:.0f} MB: held up {result['held_up_seconds']['median']:.2f} s "
          f"(floor {result['copy_floor_seconds']:.2f}), written in "
          f"{result['write_seconds']['median']:.2f} s (floor {result['write_floor_seconds']:.2f}), "
          f"meanwhile at "
          f"{result['speed_while_writing']:.2f} of the speed; peak {result['peak_mib']:.0f} MiB, "
          f"without saving {result['peak_mib_without_saving']:.0f} MiB")
    return harness.keep("save", result, arguments.quick)


def measure(quick, rounds):
    """Seconds and peak memory of `rounds` saves of one state, in this process."""
    from inception_tf.runs.saver import BackgroundSaver

    state, small = _state(quick), _small_loop()
    small(0.2)  # traced
    loop_seconds = QUICK[1] if quick else SECONDS
    found = {"held_up_seconds": [], "write_seconds": [], "speeds": []}
    with tempfile.TemporaryDirectory() as folder:
        saver = BackgroundSaver(folder, 1, 0)
        for step in range(1, rounds + 1):
            alone = small(loop_seconds)
            started = time.perf_counter()
            arrays = state.arrays()
            saver.save(step, arrays, {})
            held_up = time.perf_counter() - started
            thread, count, begun = saver._thread, 0, time.perf_counter()
            while thread.is_alive():
                small(0.0)  # one update
                count += 1
            seconds = time.perf_counter() - begun
            saver.finish()
            found["held_up_seconds"].append(held_up)
            found["write_seconds"].append(seconds)
            found["speeds"].append(count / seconds / alone)
        floors = _floors(arrays, Path(folder) / "plain") if rounds else {}
    peak = harness.peak_mib()
    if not rounds:
        return {"peak_mib": peak}
    return {
        "megabytes": sum(a.nbytes for a in arrays.values()) / 1e6,
        "held_up_seconds": harness.spread(found["held_up_seconds"]),
        "write_seconds": harness.spread(found["write_seconds"]),
        "speed_while_writing": statistics.median(found["speeds"]),
        "peak_mib": peak,
        **floors,
    }


def _floors(arrays, path):
    """Best of three: seconds to copy the arrays in memory, and to write them to a plain file."""
    def copy():
        return [array.copy() for array in arrays.values()]

    def write():
        with open(path, "wb") as file:
            for array in arrays.values():
                file.write(array.data)
            file.flush()
            os.fsync(file.fileno())

    seconds = harness.interleaved({"copy": copy, "write": write}, rounds=3, warmup=0)
    return {f"{name}_floor_seconds": min(found["wall"]) for name, found in seconds.items()}


def _state(quick):
    """TrainState of the paper's Inception-v4, slots and averages included."""
    from inception_tf.config import preset
    from inception_tf.runs.network import build_network
    from inception_tf.runtime.devices import make_strategy
    from inception_tf.training.state import TrainState

    config = preset("tiny" if quick else "paper")
    strategy = make_strategy("one")
    with strategy.scope():
        model = build_network(config.network, 1000)
    return TrainState(strategy, model, config.optimization)


def _small_loop():
    """A function of seconds that runs small updates for that long and gives their rate."""
    import tensorflow as tf

    weights = tf.Variable(tf.ones([256, 256]))

    @tf.function
    def update():
        weights.assign(0.5 * weights + 1e-3 * tf.matmul(weights, weights))

    def loop(seconds):
        count, started = 0, time.perf_counter()
        while count == 0 or time.perf_counter() - started < seconds:
            update()
            count += 1
        return count / (time.perf_counter() - started)

    return loop


if __name__ == "__main__":
    sys.exit(not main())
