"""Batches for training and scoring, each a pure function of its position.

What an image becomes is said here; stream.py reads, batches, and finds the bad ones.
"""

import math

import tensorflow as tf

from inception_tf.config import Data
from inception_tf.data import views
from inception_tf.data.augment import random_crop
from inception_tf.data.color import NUM_DRAWS, colored
from inception_tf.data.order import example_indices
from inception_tf.data.sources import Source
from inception_tf.data.stream import PARALLELISM, ExampleStream, Labels, Slots
from inception_tf.data.views import Preprocessing, Protocol

# What views of images decoded at once may occupy.
IN_FLIGHT_BYTES = 2**29


def training_batches(source: Source, data: Data, *, image_size: int, num_classes: int,
                     label_offset: int = 0, seed: int, start: int = 0, batch_size: int,
                     part: tuple[int, int] | None = None, color_on_device: bool = False,
                     parallelism: int = PARALLELISM, prefetch: int = 2) -> ExampleStream:
    """Endless distorted batches; batch k holds positions start + k * batch_size + part.

    Args:
        source: the examples.
        data: how they are cut and coloured.
        image_size: side of the images, pixels.
        num_classes: of the data, background not counted.
        label_offset: added to labels, 1 when class 0 is background.
        seed: of order and distortion.
        start: the first position.
        batch_size: examples of a whole batch.
        part: (low, high) slots of each batch; default all.
        color_on_device: leave the colours to color.finished.
        parallelism, prefetch: speed only, never what comes.

    Yields dicts: image [n, S, S, 3] float32 in [-1, 1], label [n] int32, weight
    [n] float32 (0 for a bad example), index [n] int64 (the example), example_id [n] string; with
    `color_on_device` image [n, S, S, 3] uint8 and draws [n, 5] float32.
    """
    def index_at(position):
        return example_indices([position], source.num_examples, seed)[0]

    def picture(encoded, position):
        key = tf.stack([tf.constant(seed, tf.int64), position])
        pixels, draws = random_crop(encoded, key, data, image_size)
        if color_on_device:
            return {"image": tf.saturate_cast(tf.round(pixels), tf.uint8), "draws": draws}
        return {"image": colored(pixels, draws, data.color)}

    specs = {"image": tf.TensorSpec((image_size, image_size, 3))}
    if color_on_device:
        specs = {"image": tf.TensorSpec(specs["image"].shape, tf.uint8),
                 "draws": tf.TensorSpec([NUM_DRAWS])}
    return ExampleStream(
        source, index_at, picture, Slots(start, batch_size, *(part or (0, batch_size))),
        picture_specs=specs, labels=Labels(num_classes, label_offset),
        max_bad_examples=data.max_bad_examples, max_pixels=data.max_image_pixels,
        parallelism=parallelism, prefetch=prefetch,
    )


def scoring_batches(source: Source, data: Data, *, preprocessing: Preprocessing, num_classes: int,
                    label_offset: int = 0, batch_size: int,
                    part: tuple[int, int] | None = None) -> ExampleStream:
    """Every example once, in order, padded with weight 0 to whole batches.

    Args:
        preprocessing: how an image becomes the network's input.
        source, data, num_classes, label_offset, batch_size, part: as in `training_batches`.

    Yields dicts as `training_batches`, the same number for every part; the index of padding is -1.
    """
    size = preprocessing.image_size
    return _in_order(
        source, data, lambda encoded: views.scoring_crop(encoded, preprocessing,
                                                         data.max_image_pixels),
        (size, size, 3), Labels(num_classes, label_offset), batch_size=batch_size, part=part)


def view_batches(source: Source, data: Data, *, preprocessing: Preprocessing, protocol: Protocol,
                 start: int = 0, batch_size: int, part: tuple[int, int] | None = None,
                 max_bad_examples: int = 0) -> ExampleStream:
    """As `scoring_batches` from example `start` on, the plain views of an image from one decode.

    Args:
        protocol: which views; the device makes their mirror images.
        max_bad_examples: more of them raise DataError.
        source, data, preprocessing, batch_size, part: as in `scoring_batches`.

    Images are [n, protocol.plain, S, S, 3]; a label that the split does not tell is -1. Memory in
    flight is bounded: 72 views at 299 are 77 MB an image.
    """
    shape = (protocol.plain, preprocessing.image_size, preprocessing.image_size, 3)
    in_flight = max(1, IN_FLIGHT_BYTES // (4 * math.prod(shape)))
    return _in_order(
        source, data, lambda encoded: views.plain_views(encoded, preprocessing, protocol,
                                                        data.max_image_pixels),
        shape, Labels(source.num_classes, lowest=-1), start=start, batch_size=batch_size,
        part=part, max_bad_examples=max_bad_examples, parallelism=min(PARALLELISM, in_flight),
        prefetch=1)


def _in_order(source, data, picture, shape, labels, *, start=0, batch_size, part,
              max_bad_examples=0, parallelism=PARALLELISM, prefetch=2):
    """The ExampleStream of each example from `start` on, once; `picture` of the bytes alone."""
    def index_at(position):
        return tf.where(position < source.num_examples, position, -1)

    return ExampleStream(
        source, index_at, lambda encoded, position: {"image": picture(encoded)},
        Slots(start, batch_size, *(part or (0, batch_size))),
        picture_specs={"image": tf.TensorSpec(shape)}, labels=labels,
        max_bad_examples=max_bad_examples, max_pixels=data.max_image_pixels,
        num_batches=-(-(source.num_examples - start) // batch_size),
        parallelism=parallelism, prefetch=prefetch,
    )
