"""What 144 crops cost beside 144 passes of the network, and whether memory grows with the split.

    python -m benchmarks.crops [--quick]

A round times two things after each other, in one process:
  network   the compiled network on N x 144 views that lie ready
  scoring   N images from their bytes: decode, cut, mirror, network, append to the file,
            while the input pipeline works ahead as it does in the middle of a split
and the ratio of the two; medians over rounds. CPU seconds (of all threads) stand beside
wall seconds: they hold still while a machine is shared. Memory: the peak of a process that
scores N images, and of one that scores four times as many.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib
from PIL import Image

RESULT = Path(__file__).parent / "results" / "crops.json"
CLASSES = [f"class_{k}" for k in range(20)]
# name: preset fields, images per round, rounds, views per pass.
CASES = {
    "demo network at 80": ({}, 40, 9, 32),
    "inception_v4 at 299": ({"net": "inception_v4", "image_size": 299, "width": 1.0,
                             "repeats": ()}, 1, 3, 32),
}
QUICK = {"tiny network at 75": ({"image_size": 75, "width": 0.07}, 2, 1, 32)}
MEMORY_IMAGES = (64, 256)


def main():
    """Runs the cases, prints a line each, writes RESULT unless --quick."""
    arguments = _arguments()
    if arguments.memory_images:
        print(json.dumps(_peak_memory(arguments.memory_images)))
        return
    result = {"machine": _machine(), "cases": {}}
    for name, case in (QUICK if arguments.quick else CASES).items():
        result["cases"][name] = measure(*case)
        print(f"{name}: scoring / network = {result['cases'][name]['wall']['ratio']:.3f} of wall, "
              f"{result['cases'][name]['cpu']['ratio']:.3f} of CPU seconds", flush=True)
    counts = (2, 4) if arguments.quick else MEMORY_IMAGES
    result["peak_mib"] = {str(n): _in_own_process(n) for n in counts}
    print("peak memory:", ", ".join(f"{n} images {v:.0f} MiB"
                                    for n, v in result["peak_mib"].items()))
    if not arguments.quick:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(result, indent=2) + "\n")


def measure(settings, num_images, rounds, batch_size):
    """Seconds of both, round by round, and the median of their ratios."""
    # One image to warm up, and more at the end than the pipeline can read ahead.
    with Scoring(settings, 1 + num_images * rounds + 16, batch_size) as scoring:
        scoring.images(1), scoring.network(1)
        seconds = [(scoring.images(num_images), scoring.network(num_images))
                   for _ in range(rounds)]
        found = {"images": num_images, "views_per_pass": scoring.passes.views}
        for clock in ("wall", "cpu"):
            pairs = [(whole[clock], network[clock]) for whole, network in seconds]
            found[clock] = {"scoring_seconds": [whole for whole, _ in pairs],
                            "network_seconds": [network for _, network in pairs],
                            "ratio": statistics.median(a / b for a, b in pairs)}
        return found


class Scoring(contextlib.ExitStack):
    """The two sides of the comparison, around one compiled network."""

    def __init__(self, settings, num_images, batch_size):
        super().__init__()
        import numpy as np
        import tensorflow as tf

        from inception_tf.config import preset
        from inception_tf.data.crops import protocol_of
        from inception_tf.evaluation.models import build_network
        from inception_tf.evaluation.predict import Devices, ViewStep, plan_passes
        from inception_tf.runtime.signals import StopSignals

        self.config = preset("demo").replace(**settings)
        size = self.config.network.image_size
        protocol = protocol_of(144, "scaled", size)
        self.passes = plan_passes(batch_size, 1, 144)
        model = build_network(self.config.network, len(CLASSES), aux_head=False)
        self._step = ViewStep(Devices("one", 120.0, StopSignals()), model, self.passes, protocol, 0)
        self._open(photographs(num_images), protocol)
        self._pass = tf.function(lambda views: tf.nn.softmax(model(views, training=False)))
        random = np.random.default_rng(0)
        self._views = tf.constant(
            random.uniform(-1, 1, (self.passes.views, size, size, 3)), tf.float32)

    def _open(self, source, protocol):
        from inception_tf.data.batches import view_batches
        from inception_tf.data.crops import preprocessing_of
        from inception_tf.evaluation.predictions import IDENTITY, predictions_writer

        header = {**dict.fromkeys(IDENTITY, ""), "num_examples": source.num_examples,
                  "class_names": CLASSES, "about": {}}
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self._writer = self.enter_context(predictions_writer(Path(folder) / "p", header))
        self._stream = view_batches(
            source, self.config.data, protocol=protocol, batch_size=self.passes.images,
            preprocessing=preprocessing_of(self.config.network, self.config.data))
        self.callback(self._stream.close)

    def images(self, num_images):
        """Seconds (wall, cpu) to score the next `num_images`, from bytes to rows in the file."""
        with _clocks() as seconds:
            for _ in range(num_images):
                rows, _ = self._step(next(self._stream))
                self._writer.append(*rows)
        return seconds

    def network(self, num_images):
        """Seconds (wall, cpu) of as many passes of the network alone."""
        with _clocks() as seconds:
            for _ in range(num_images * 144 // self.passes.views):
                self._pass(self._views).numpy()
        return seconds


@contextlib.contextmanager
def _clocks():
    """A dict that holds wall and CPU seconds of the block when it has ended."""
    seconds, start = {}, (time.perf_counter(), time.process_time())
    yield seconds
    seconds.update(wall=time.perf_counter() - start[0], cpu=time.process_time() - start[1])


def photographs(number):
    """A source of `number` records: one photograph of 500 x 375, ImageNet's usual size."""
    from inception_tf.data.sources import Record, Source

    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    file = io.BytesIO()
    Image.open(path).convert("RGB").crop((0, 40, 500, 415)).save(file, "JPEG", quality=92)

    class Photographs(Source):
        def _read(self, index):
            return Record(file.getvalue(), index % len(CLASSES), f"photograph_{index}")

    return Photographs("photographs", "validation", number, CLASSES, ())


def _peak_memory(num_images):
    """Peak of this process in MiB after scoring `num_images` with 144 crops."""
    with Scoring({"width": 0.07}, num_images, 32) as scoring:
        scoring.images(num_images)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _in_own_process(num_images):
    words = [sys.executable, "-m", "benchmarks.crops", f"--memory_images={num_images}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def _machine():
    import tensorflow as tf

    model = next((line.partition(":")[2].strip() for line in
                  Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "devices": [d.device_type for d in tf.config.list_logical_devices()]}


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tiny network, for the plumbing")
    parser.add_argument("--memory_images", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
