"""The stream of batches behind training and scoring: what is read when, and what is bad.

The fast path decodes inside tf.data and protects nothing but the header. When
it raises, the batch that failed is looked at example by example, the bad ones are
remembered, and the pipeline starts again at that very batch: positions make
that free, and good data pays nothing.
"""

import atexit
import dataclasses
import logging
import os
import weakref
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import tensorflow as tf

from inception_tf.data import images
from inception_tf.data.sources import Example, Source
from inception_tf.errors import DataError

log = logging.getLogger(__name__)

_open_streams = weakref.WeakSet()

# Failures of one batch whose examples all turn out to be good: the device or the file
# system had a bad moment.
MAX_UNEXPLAINED = 3
# Examples named in one message.
MAX_NAMED = 10
# Examples decoded at once. Not tuned by tf.data: its tuning thread sleeps up to a minute,
# and an iterator cannot be closed before it wakes (seen at the end of a run). Twice the
# number of cores is some percent faster than that number (benchmarks/input.py).
PARALLELISM = 2 * (os.cpu_count() or 1)


@atexit.register
def close_streams() -> None:
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
    def count(self) -> int:
        """Examples of one batch."""
        return self.high - self.low

    def position(self, element: Any) -> Any:
        """Position of the worker's n-th example; int or int64 tensor."""
        batch, slot = element // self.count, element % self.count
        return self.start + batch * self.batch_size + self.low + slot


@dataclasses.dataclass(frozen=True)
class Labels:
    """Which labels an example may carry, and what is added to them."""

    num_classes: int
    offset: int = 0
    lowest: int = 0

    def check(self, example: Example) -> None:
        """Raises DataError when the example's label has no output."""
        if not self.lowest <= example.label < self.num_classes:
            raise DataError(f"{example.example_id} has label {example.label}, outside "
                            f"{self.lowest}..{self.num_classes - 1}")


class ExampleStream:
    """An iterator of batches that names bad examples instead of failing on them.

    A context that closes it: threads read ahead. For another pass take `rewound`: each stream
    leaves megabytes of graphs in TensorFlow, which never go.

    bad_examples: example id -> cause, of all found so far.

    Args:
        source: the examples.
        index_at: position -> index of the example, -1 for padding.
        picture: (encoded, position) -> dict of tensors like `picture_specs`.
        slots: which positions a batch holds.
        picture_specs: zeros of these stand for a bad example.
        labels: which are allowed.
        max_bad_examples: more of them raise DataError.
        max_pixels: an image of more is bad.
        num_batches: None for an endless stream.
        parallelism, prefetch: speed only, never what comes.
    """

    def __init__(self, source: Source, index_at: Callable, picture: Callable, slots: Slots, *,
                 picture_specs: dict[str, tf.TensorSpec], labels: Labels, max_bad_examples: int,
                 max_pixels: int, num_batches: int | None = None, parallelism: int = PARALLELISM,
                 prefetch: int = 2):
        self.bad_examples: dict[str, str] = {}
        self._bad_indices: set[int] = set()
        self._source = source
        self._index_at = index_at
        # Traced once: a pipeline that starts again would trace it again.
        self._picture = tf.function(picture, autograph=False)
        self._slots = slots
        self._picture_specs = picture_specs
        self._labels = labels
        self._max_bad_examples = max_bad_examples
        self._max_pixels = max_pixels
        self._num_batches = num_batches
        self._parallelism = parallelism
        self._prefetch = prefetch
        self._next_batch = 0
        _open_streams.add(self)
        self._traced = tf.function(self._example, autograph=False)
        self._from_first = self._pipeline()
        self._iterator: Any = None  # made for the first batch that is asked for

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> dict[str, tf.Tensor]:
        unexplained = 0
        if self._iterator is None:
            self._start()
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

    def close(self) -> None:
        """Ends reading ahead."""
        self._iterator = iter(())

    def rewound(self) -> Self:
        """Itself, before its first batch again, closed or not."""
        self._next_batch, self._iterator = 0, None
        return self

    def _start(self):
        """Reads from the next batch on."""
        self._iterator = iter(self._pipeline() if self._next_batch else self._from_first)

    def _pipeline(self):
        count = self._slots.count
        end = 2**62 if self._num_batches is None else self._num_batches * count
        dataset = tf.data.Dataset.range(self._next_batch * count, end)
        dataset = dataset.map(self._traced, self._parallelism, deterministic=True)
        dataset = dataset.batch(count, drop_remainder=True).prefetch(self._prefetch)
        options = tf.data.Options()
        options.autotune.enabled = False
        return dataset.with_options(options)

    def _example(self, element):
        position = self._slots.position(element)
        index = self._index_at(position)
        read = tf.numpy_function(
            self._read, [index], (tf.string, tf.int32, tf.bool, tf.string), stateful=False
        )
        encoded, label, good, example_id = (tf.ensure_shape(x, []) for x in read)
        picture = tf.cond(good, lambda: self._picture(encoded, position), self._no_picture)
        return {
            **{name: tf.ensure_shape(picture[name], spec.shape)
               for name, spec in self._picture_specs.items()},
            "label": label,
            "weight": tf.cast(good, tf.float32),
            "index": index,
            "example_id": example_id,
        }

    def _no_picture(self):
        return {name: tf.zeros(spec.shape, spec.dtype)
                for name, spec in self._picture_specs.items()}

    def _read(self, index):
        """(encoded, label, good, id) of an example; nothing and False for padding and bad ones."""
        if index < 0 or int(index) in self._bad_indices:
            return b"", np.int32(self._labels.offset), np.False_, b""
        example = self._read_checked(int(index))
        label = np.int32(example.label + self._labels.offset)
        return example.encoded, label, np.True_, example.example_id.encode()

    def _read_checked(self, index):
        example = self._source.read(index)
        self._labels.check(example)
        return example

    def _find_bad_examples(self):
        """Looks at each example of the batch that failed; whether any was bad.

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
        example = self._read_checked(index)
        try:
            self._picture(tf.constant(example.encoded), position)
        except tf.errors.OpError:
            cause = images.cause_of_failure(example.encoded, self._max_pixels)
            self.bad_examples[example.example_id] = cause
            self._bad_indices.add(index)
            log.warning("bad example %s: %s", example.example_id, cause)
            return True
        return False

    def _too_many(self):
        named = [f"{name}: {cause}" for name, cause in self.bad_examples.items()][:MAX_NAMED]
        allowed = f"more than --max_bad_examples={self._max_bad_examples}"
        if self._num_batches is not None and not self._max_bad_examples:
            allowed = "none is allowed in scoring"
        return f"{len(self.bad_examples)} bad examples, {allowed}: {'; '.join(named)}"

    def _require_complete(self):
        if self._next_batch != self._num_batches:
            raise DataError(f"{self._source.name}/{self._source.split} ended after "
                            f"{self._next_batch} of {self._num_batches} batches")

    def _where(self):
        return f"batch {self._next_batch} of {self._source.name}/{self._source.split}"
