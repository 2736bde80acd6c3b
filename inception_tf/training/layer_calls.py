"""Layers that a pass of the training step calls differently, while the model keeps Keras' own."""

import collections
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

import keras

_uses: collections.Counter[keras.Layer] = collections.Counter()
_lock = threading.Lock()


@contextlib.contextmanager
def replaced(calls: Mapping[keras.Layer, Callable]) -> Iterator[None]:
    """Context in which each of these layers is called by the function beside it.

    Replicas trace their passes in threads that take turns: the last to leave restores the layers.
    """
    with _lock:
        for layer, call in calls.items():
            layer.call = call
            _uses[layer] += 1
    try:
        yield
    finally:
        with _lock:
            for layer in calls:
                _uses[layer] -= 1
                if not _uses[layer]:
                    del layer.call, _uses[layer]
