"""What 144 crops cost against 144 passes of the network, and whether memory grows with the split.

    python -m benchmarks.crops [--quick]

A round times two things one after the other, in one process:
  network   the compiled network on N x 144 views in memory
  scoring   N images from their bytes: decode, cut, mirror, network, append to the file,
            while the input pipeline works ahead as it does in the middle of a split
and the ratio of the two (the network is the floor); medians over rounds. CPU seconds (of all
threads) are given too: they are stable while a machine is shared. Memory: the peak of a process
that scores N images, and of one that scores four times as many.
"""

import contextlib
import io
import tempfile
from pathlib import Path

from benchmarks import harness
from inception_tf.commands.shell import import_tensorflow

CLASSES = [f"class_{k}" for k in range(20)]
# name: preset fields, images per round, rounds, views per pass.
CASES = {
    "demo network at 80": ({}, 40, 9, 32),
    "inception_v4 at 299": ({"net": "inception_v4", "image_size": 299, "width": 1.0,
                             "repeats": ()}, 1, 3, 32),
}
QUICK = {"tiny network at 75": ({"image_size": 75, "width": 0.07}, 2, 1, 32)}
# Images that the two processes score whose memory is compared.
MEMORY_IMAGES = (256, 1024)


def main():
    """Prints a line a case; keeps the result."""
    arguments = harness.arguments(__doc__, memory_images=0)
    if arguments.memory_images:
        with Scoring({"width": 0.07}, arguments.memory_images, 32) as scoring:
            scoring.images(arguments.memory_images)
        return
    # First, while this process is small: a child's peak starts at its parent's.
    peaks = {number: _peak_mib(number) for number in ((2, 4) if arguments.quick else MEMORY_IMAGES)}
    print("peak memory:", ", ".join(f"{n} images {mib:.0f} MiB" for n, mib in peaks.items()),
          flush=True)
    result = {"peak_mib": peaks, "cases": {}}
    for name, case in (QUICK if arguments.quick else CASES).items():
        result["cases"][name] = row = measure(*case)
        print(f"{name}: scoring / network = {row['wall']['ratio']:.3f} of wall, "
              f"{row['cpu']['ratio']:.3f} of CPU seconds", flush=True)
    harness.keep("crops", result, arguments.quick)


def measure(settings, num_images, rounds, batch_size):
    """Seconds of both, round by round, and the median of their ratios."""
    # One image to warm up, and more at the end than the pipeline can read ahead.
    with Scoring(settings, 1 + num_images * rounds + 16, batch_size) as scoring:
        scoring.images(1), scoring.network(1)
        seconds = harness.interleaved({"scoring": lambda: scoring.images(num_images),
                                       "network": lambda: scoring.network(num_images)},
                                      rounds, warmup=0)
        found = {"images": num_images, "views_per_pass": scoring.passes.views}
    for clock in ("wall", "cpu"):
        whole, network = seconds["scoring"][clock], seconds["network"][clock]
        found[clock] = {"scoring_seconds": harness.spread(whole),
                        "network_seconds": harness.spread(network),
                        "ratio": harness.ratio(whole, network)}
    return found


class Scoring(contextlib.ExitStack):
    """The two sides of the comparison, around one compiled network."""

    def __init__(self, settings, num_images, batch_size):
        super().__init__()
        import_tensorflow()  # as the commands do: quietly, with their memory setting
        import numpy as np
        import tensorflow as tf

        from inception_tf.config import preset
        from inception_tf.data.views import protocol_of
        from inception_tf.evaluation.inference import ViewStep, plan_passes
        from inception_tf.runs.network import build_network
        from inception_tf.runtime.cluster import ALONE
        from inception_tf.runtime.devices import Devices, make_strategy
        from inception_tf.runtime.hang import StallWatchdog
        from inception_tf.runtime.signals import StopSignals

        self.config = preset("demo").replace(**settings)
        size = self.config.network.image_size
        protocol = protocol_of(144, "scaled", size)
        self.passes = plan_passes(batch_size, 1, protocol)
        model = build_network(self.config.network, len(CLASSES), aux_head=False)
        on = Devices(make_strategy("one"), ALONE, StopSignals(), StallWatchdog(0))
        self._step = ViewStep(on, model, self.passes, 0)
        self._open(photographs(num_images), protocol)
        self._pass = tf.function(lambda views: tf.nn.softmax(model(views, training=False)))
        random = np.random.default_rng(0)
        self._views = tf.constant(
            random.uniform(-1, 1, (self.passes.views, size, size, 3)), tf.float32)

    def _open(self, source, protocol):
        from inception_tf.data.batches import view_batches
        from inception_tf.data.views import preprocessing_of
        from inception_tf.evaluation.predictions_file import IDENTITY, predictions_writer

        header = {**dict.fromkeys(IDENTITY, ""), "num_examples": source.num_examples,
                  "class_names": CLASSES, "about": {}}
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self._writer = self.enter_context(predictions_writer(Path(folder) / "p", header))
        self._stream = self.enter_context(view_batches(
            source, self.config.data, protocol=protocol, batch_size=self.passes.images,
            preprocessing=preprocessing_of(self.config.network, self.config.data)))

    def images(self, num_images):
        """Scores the next `num_images`, from bytes to rows in the file."""
        for _ in range(num_images):
            rows, _ = self._step(next(self._stream))
            self._writer.append(*rows[:3])

    def network(self, num_images):
        """The network alone on as many views."""
        for _ in range(num_images * 144 // self.passes.views):
            self._pass(self._views).numpy()


def photographs(number):
    """A source of `number` records: one photograph of 500 x 375, ImageNet's usual size."""
    from inception_tf.data.sources import Example, Source

    file = io.BytesIO()
    harness.photograph().crop((0, 40, 500, 415)).save(file, "JPEG", quality=92)

    class Photographs(Source):
        def _read(self, index):
            return Example(file.getvalue(), index % len(CLASSES), f"photograph_{index}")

    return Photographs("photographs", "validation", number, CLASSES, ())


def _peak_mib(num_images):
    """Peak memory of a process that scores `num_images` with 144 crops of a tiny network."""
    words = ["-m", "benchmarks.crops", f"--memory_images={num_images}"]
    return harness.process(words)["peak_mib"]


if __name__ == "__main__":
    main()
