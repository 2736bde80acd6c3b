"""Examples by index: the one interface that batches are made from."""

import abc
import contextlib
import hashlib
import time
from collections.abc import Iterable
from typing import NamedTuple

from inception_tf.errors import DataError

# A read that fails is tried again after these pauses: network file systems
# return EIO or ESTALE for a moment and then work.
RETRY_SECONDS = (0.1, 0.5, 2.0)


class Example(NamedTuple):
    """One image as it is stored, its class and the name to report it by."""

    encoded: bytes
    label: int
    example_id: str


class Source(abc.ABC):
    """One split of one data set; any example is read at any time, from any thread.

    name, split: as the user wrote them.
    num_examples: each is read by its index in [0, num_examples).
    class_names: in the order of labels.
    fingerprint: hex digest of what identifies the examples; a resumed run compares it.
    place: the folder they lie in.
    """

    def __init__(self, name: str, split: str, num_examples: int, class_names: Iterable[str],
                 identity: object, place: str = ""):
        if num_examples < 1:
            raise DataError(f"--dataset={name}: split {split!r} has no examples")
        self.name = name
        self.split = split
        self.place = place
        self.num_examples = num_examples
        self.class_names = tuple(class_names)
        parts = (name, split, num_examples, self.class_names, identity)
        self.fingerprint = hashlib.sha256(repr(parts).encode()).hexdigest()

    @property
    def num_classes(self) -> int:
        """Number of classes, background not counted."""
        return len(self.class_names)

    def read(self, index: int) -> Example:
        """The Example at `index`. Raises DataError when it cannot be read."""
        for pause in RETRY_SECONDS:
            with contextlib.suppress(OSError):
                return self._read(index)
            time.sleep(pause)
        try:
            return self._read(index)
        except OSError as error:
            raise DataError(f"{self.describe(index)} cannot be read: {error}") from error

    def describe(self, index: int) -> str:
        """Names an example without reading it."""
        return f"{self.name}/{self.split}#{index}"

    @property
    def max_id_bytes(self) -> int:
        """Bytes that the longest example id has at most (UTF-8)."""
        return len(self.describe(self.num_examples - 1).encode())

    @abc.abstractmethod
    def _read(self, index: int) -> Example:
        """The Example at `index`; an OSError is tried again."""
