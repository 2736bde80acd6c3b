"""How fast training's input pipeline runs on this machine, and what bounds it."""

import time
from dataclasses import dataclass

import tensorflow as tf

from inception_tf.config import Config
from inception_tf.data import images
from inception_tf.data.augment import random_window
from inception_tf.data.batches import training_batches
from inception_tf.data.order import example_indices
from inception_tf.data.sources import Source
from inception_tf.data.stream import ExampleStream, Labels, Slots

BATCH_SIZE = 32


@dataclass(frozen=True)
class Speed:
    """How fast images come.

    images_per_second: wall time.
    cpu_seconds: of all threads, per image; it changes little while a machine is shared.
    """

    images_per_second: float
    cpu_seconds: float

    def cores_for(self, images_per_second: float) -> float:
        """Cores that so many images keep busy."""
        return images_per_second * self.cpu_seconds


def pipeline_speed(source: Source, config: Config, color_on_device: bool,
                   seconds: float) -> Speed:
    """Speed of the batches that training on `source` would be given.

    Args:
        source: the examples.
        config: of the run.
        color_on_device: leave the colours out.
        seconds: how long to measure.
    """
    return _speed(training_batches(
        source, config.data, image_size=config.network.image_size, seed=config.runtime.seed,
        num_classes=source.num_classes, batch_size=BATCH_SIZE, color_on_device=color_on_device),
        seconds)


def decoding_speed(source: Source, config: Config, seconds: float) -> Speed:
    """Speed of reading examples and decoding the random crops alone: the pipeline's floor."""
    data, seed = config.data, config.runtime.seed

    def index_at(position):
        return example_indices([position], source.num_examples, seed)[0]

    def corner(encoded, position):
        encoded, size = images.checked_size(encoded, data.max_image_pixels)
        window = random_window(size, tf.stack([seed, position]), data.min_crop_area)
        least = config.network.image_size if data.reduced_decoding else None
        pixels = images.decode_window(encoded, size, window, least)
        return {"pixel": pixels[0, 0]}

    return _speed(ExampleStream(
        source, index_at, corner, Slots(0, BATCH_SIZE, 0, BATCH_SIZE),
        picture_specs={"pixel": tf.TensorSpec([3], tf.uint8)}, labels=Labels(source.num_classes),
        max_bad_examples=data.max_bad_examples, max_pixels=data.max_image_pixels), seconds)


def _speed(stream, seconds):
    with stream:
        # The first batches pay for tracing and compiling, and the next were read ahead meanwhile.
        for _ in range(4):
            next(stream)
        count, started, cpu_started = 0, time.monotonic(), time.process_time()
        while (elapsed := time.monotonic() - started) < seconds:
            next(stream)
            count += BATCH_SIZE
        cpu = time.process_time() - cpu_started
    return Speed(count / elapsed, cpu / count)
