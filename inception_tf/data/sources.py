"""Records by index: the one interface that batches are made from.

`open_source` finds the data set that `config.Data` names; what it returns reads
any record at any time, from any thread.
"""

import abc
import hashlib
import time
from typing import NamedTuple

from inception_tf.errors import DataError, UsageError

# A read that fails is tried again after these pauses: network file systems
# return EIO or ESTALE for a moment and then work.
RETRY_SECONDS = (0.1, 0.5, 2.0)


class Record(NamedTuple):
    """One image as it is stored, its class and the name to report it by."""

    encoded: bytes
    label: int
    example_id: str


class Source(abc.ABC):
    """One split of one data set.

    name, split: as the user wrote them.
    num_examples: records, each read by its index in [0, num_examples).
    class_names: in the order of labels.
    fingerprint: hex digest of what identifies the records; a resumed run
        compares it.
    """

    def __init__(self, name, split, num_examples, class_names, identity):
        if num_examples < 1:
            raise DataError(f"--dataset={name}: split {split!r} has no examples")
        self.name = name
        self.split = split
        self.num_examples = num_examples
        self.class_names = tuple(class_names)
        parts = (name, split, num_examples, self.class_names, identity)
        self.fingerprint = hashlib.sha256(repr(parts).encode()).hexdigest()

    @property
    def num_classes(self):
        """Number of classes, background not counted."""
        return len(self.class_names)

    def read(self, index):
        """The Record at `index`. Raises DataError when it cannot be read."""
        for pause in (*RETRY_SECONDS, None):
            try:
                return self._read(index)
            except OSError as error:
                if pause is None:
                    raise DataError(f"{self.describe(index)} cannot be read: {error}") from error
                time.sleep(pause)
        raise AssertionError("unreachable")

    def describe(self, index):
        """Names a record without reading it."""
        return f"{self.name}/{self.split}#{index}"

    @property
    def max_id_bytes(self):
        """Bytes that the longest example id has at most (UTF-8)."""
        return len(self.describe(self.num_examples - 1).encode())

    @abc.abstractmethod
    def _read(self, index):
        """The Record at `index`; an OSError is tried again."""


def open_source(data, split, check_classes=lambda names: None):
    """The Source of `split` of the data set that `data` (config.Data) names.

    check_classes: is called with the class names, before anything is prepared where they are
        known by then, so that it can refuse them.

    Raises: UsageError for an unknown data set or split or one that is not
        prepared, DataError for one that is damaged.
    """
    if not split:
        raise UsageError("--train_split and --eval_split may not be empty")
    if data.dataset == "folder":
        from inception_tf.data.folders import FolderSource

        source = FolderSource(data, split)
    else:
        from inception_tf.data.tfds_source import open_tfds

        source = open_tfds(data, split, check_classes)
    check_classes(source.class_names)
    return source
