"""Batches for training and scoring, each a pure function of its position.

The fast path decodes inside tf.data and protects nothing but the header. When
it raises, the batch that failed is looked at record by record, the bad ones are
remembered, and the pipeline starts again at that very batch: positions make
that free, and good data pays nothing.
"""

import atexit
import dataclasses
import logging
import math
import os
import weakref

import numpy as np
import tensorflow as tf

from inception_tf.data import crops, images
from inception_tf.data.distort import distort
from inception_tf.data.order import example_indices
from inception_tf.errors import DataError

log = logging.getLogger(__name__)

_open_streams = weakref.WeakSet()

# Failures of one batch in which every record turns out to be good: the device
# or the file system had a bad moment.
MAX_UNEXPLAINED = 3
# Examples named in one message.
MAX_NAMED = 10


# Examples decoded at once. Not tuned by tf.data: its tuning thread sleeps up to a minute,
# and an iterator cannot be closed before it wakes (seen at the end of a run).
PARALLELISM = os.cpu_count() or 1
# What views of images decoded at once may occupy.
IN_FLIGHT_BYTES = 2**29


@atexit.register
def close_streams():
    """Closes every stream that is still open.

    Threads that read ahead call Python. Left running into the interpreter's end, they
    wait for its lock for ever and the process never exits (two runs in six did so).
    """
    for stream in list(_open_streams):
        stream.close()


@dataclasses.dataclass(frozen=True)
class Slots:
    """The part of each batch that one worker holds.

    Batch k of `batch_size` starts at position start + k * batch_size; the worker
    holds its slots [low, high).
    """

    start: int
    batch_size: int
    low: int
    high: int

    @property
    def count(self):
        return self.high - self.low

    def position(self, element):
        """Position of the worker's n-th example; int or int64 tensor."""
        batch, slot = element // self.count, element % self.count
        return self.start + batch * self.batch_size + self.low + slot


def training_batches(source, data, *, image_size, num_classes, label_offset=0, seed, start=0,
                     batch_size, part=None, parallelism=PARALLELISM, prefetch=2):
    """Endless distorted batches; batch k holds positions start + k * batch_size + part.

    data: config.Data. num_classes: of the data, background not counted.
    label_offset: added to labels, 1 when class 0 is background. part: (low, high) slots of each
    batch; default all. parallelism, prefetch: speed only, never what comes.

    Yields dicts: image [n, S, S, 3] float32 in [-1, 1], label [n] int32, weight
    [n] float32 (0 for a bad example), index [n] int64 (the record), example_id [n] string.
    """
    def index_at(position):
        return example_indices([position], source.num_examples, seed)[0]

    def picture(encoded, position):
        key = tf.stack([tf.constant(seed, tf.int64), position])
        return distort(encoded, key, image_size=image_size, color=data.color,
                       min_crop_area=data.min_crop_area, max_pixels=data.max_image_pixels)

    low, high = part or (0, batch_size)
    return ExampleStream(
        source, index_at, picture, Slots(start, batch_size, low, high),
        image_shape=(image_size, image_size, 3), labels=_Labels(num_classes, label_offset),
        max_bad_examples=data.max_bad_examples, max_pixels=data.max_image_pixels,
        parallelism=parallelism, prefetch=prefetch,
    )


def scoring_batches(source, data, *, preprocessing, num_classes, label_offset=0, batch_size,
                    part=None, parallelism=PARALLELISM, prefetch=2):
    """Every record once, in order, padded with weight 0 to whole batches.

    Every part yields the same number of batches. preprocessing: a
    crops.Preprocessing. The rest, and what is yielded, as in `training_batches`; the
    index of padding is -1.
    """
    size = preprocessing.image_size
    return _records_in_order(
        source, data, lambda encoded: crops.scoring_crop(encoded, preprocessing,
                                                         data.max_image_pixels),
        (size, size, 3), _Labels(num_classes, label_offset), batch_size=batch_size, part=part,
        parallelism=parallelism, prefetch=prefetch)


def view_batches(source, data, *, preprocessing, protocol, start=0, batch_size, part=None):
    """As `scoring_batches` from record `start` on, the plain views of an image from one decode.

    protocol: a crops.Protocol; its mirror images are for the device to make. Images are
    [n, protocol.plain, S, S, 3]; a label that the split does not tell is -1. Memory in
    flight is bounded: 72 views at 299 are 77 MB an image.
    """
    shape = (protocol.plain, preprocessing.image_size, preprocessing.image_size, 3)
    in_flight = max(1, IN_FLIGHT_BYTES // (4 * math.prod(shape)))
    return _records_in_order(
        source, data, lambda encoded: crops.plain_views(encoded, preprocessing, protocol,
                                                        data.max_image_pixels),
        shape, _Labels(source.num_classes, lowest=-1), start=start, batch_size=batch_size,
        part=part, parallelism=min(PARALLELISM, in_flight), prefetch=1)


def _records_in_order(source, data, picture, shape, labels, *, start=0, batch_size, part,
                      parallelism, prefetch):
    """The ExampleStream of each record from `start` on, once; `picture` of the bytes alone."""
    def index_at(position):
        return tf.where(position < source.num_examples, position, -1)

    low, high = part or (0, batch_size)
    return ExampleStream(
        source, index_at, lambda encoded, position: picture(encoded),
        Slots(start, batch_size, low, high), image_shape=shape, labels=labels,
        max_bad_examples=0, max_pixels=data.max_image_pixels,
        num_batches=-(-(source.num_examples - start) // batch_size),
        parallelism=parallelism, prefetch=prefetch,
    )


@dataclasses.dataclass(frozen=True)
class _Labels:
    """Which labels a record may carry, and what is added to them."""

    num_classes: int
    offset: int = 0
    lowest: int = 0

    def check(self, record):
        """Raises DataError when the record's label has no output."""
        if not self.lowest <= record.label < self.num_classes:
            raise DataError(f"{record.example_id} has label {record.label}, outside "
                            f"{self.lowest}..{self.num_classes - 1}")


class ExampleStream:
    """An iterator of batches that names bad examples instead of failing on them.

    bad_examples: example id -> cause, of all found so far.
    """

    def __init__(self, source, index_at, picture, slots, *, image_shape, labels, max_bad_examples,
                 max_pixels, num_batches=None, parallelism=PARALLELISM, prefetch=2):
        self.bad_examples = {}
        self._bad_indices = set()
        self._source = source
        self._index_at = index_at
        # Traced once: a pipeline that starts again would trace it again.
        self._picture = tf.function(picture, autograph=False)
        self._slots = slots
        self._image_shape = image_shape
        self._labels = labels
        self._max_bad_examples = max_bad_examples
        self._max_pixels = max_pixels
        self._num_batches = num_batches
        self._parallelism = parallelism
        self._prefetch = prefetch
        self._next_batch = 0
        _open_streams.add(self)
        self._traced = tf.function(self._example, autograph=False)
        self._start()

    def __iter__(self):
        return self

    def __next__(self):
        unexplained = 0
        while True:
            try:
                batch = next(self._iterator)
            except tf.errors.OpError as error:
                unexplained = 0 if self._find_bad_examples() else unexplained + 1
                if unexplained == MAX_UNEXPLAINED:
                    raise DataError(f"{self._where()} cannot be read: {error.message}") from error
                self._start()
            except StopIteration:
                self._require_complete()
                raise
            else:
                self._next_batch += 1
                return batch

    def close(self):
        """Ends reading ahead."""
        self._iterator = iter(())

    def _start(self):
        """The pipeline, from the next batch on."""
        count = self._slots.count
        end = 2**62 if self._num_batches is None else self._num_batches * count
        dataset = tf.data.Dataset.range(self._next_batch * count, end)
        dataset = dataset.map(self._traced, self._parallelism, deterministic=True)
        dataset = dataset.batch(count, drop_remainder=True).prefetch(self._prefetch)
        options = tf.data.Options()
        options.autotune.enabled = False
        self._iterator = iter(dataset.with_options(options))

    def _example(self, element):
        position = self._slots.position(element)
        index = self._index_at(position)
        read = tf.numpy_function(
            self._read, [index], (tf.string, tf.int32, tf.bool, tf.string), stateful=False
        )
        encoded, label, good, example_id = (tf.ensure_shape(x, []) for x in read)
        image = tf.cond(
            good, lambda: self._picture(encoded, position), lambda: tf.zeros(self._image_shape)
        )
        return {
            "image": tf.ensure_shape(image, self._image_shape),
            "label": label,
            "weight": tf.cast(good, tf.float32),
            "index": index,
            "example_id": example_id,
        }

    def _read(self, index):
        """(encoded, label, good, id) of a record; nothing and False for padding and bad ones."""
        if index < 0 or int(index) in self._bad_indices:
            return b"", np.int32(self._labels.offset), np.False_, b""
        record = self._source.read(int(index))
        self._labels.check(record)
        label = np.int32(record.label + self._labels.offset)
        return record.encoded, label, np.True_, record.example_id.encode()

    def _find_bad_examples(self):
        """Looks at each record of the batch that failed; whether any was bad.

        Raises: DataError of the source or of a label, and when there are now
            more bad examples than allowed.
        """
        first = self._next_batch * self._slots.count
        found = 0
        for element in range(first, first + self._slots.count):
            position = tf.constant(self._slots.position(element), tf.int64)
            found += self._is_bad(int(self._index_at(position)), position)
        if len(self.bad_examples) > self._max_bad_examples:
            raise DataError(self._too_many())
        return found > 0

    def _is_bad(self, index, position):
        if index < 0 or index in self._bad_indices:
            return False
        record = self._source.read(index)
        self._labels.check(record)
        try:
            self._picture(tf.constant(record.encoded), position)
        except tf.errors.OpError:
            cause = images.cause_of_failure(record.encoded, self._max_pixels)
            self.bad_examples[record.example_id] = cause
            self._bad_indices.add(index)
            log.warning("bad example %s: %s", record.example_id, cause)
            return True
        return False

    def _too_many(self):
        named = [f"{name}: {cause}" for name, cause in self.bad_examples.items()][:MAX_NAMED]
        allowed = "none is allowed in scoring"
        if self._num_batches is None:
            allowed = f"more than --max_bad_examples={self._max_bad_examples}"
        return f"{len(self.bad_examples)} bad examples, {allowed}: {'; '.join(named)}"

    def _require_complete(self):
        if self._next_batch != self._num_batches:
            raise DataError(f"{self._source.name}/{self._source.split} ended after "
                            f"{self._next_batch} of {self._num_batches} batches")

    def _where(self):
        return f"batch {self._next_batch} of {self._source.name}/{self._source.split}"
