"""Arrays of a file, known by name and shape before any of them is read."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from inception_tf.errors import UsageError
from inception_tf.text import first_line


class Refused(ValueError):
    """A file of weights that is damaged, or made to do more than hold arrays; one line."""


@dataclasses.dataclass(frozen=True)
class Stored:
    """One array of a file: `read()` gives its numbers."""

    shape: tuple[int, ...]
    read: Callable


def check_sizes(stored: Mapping[str, Stored], num_bytes: int, path: str) -> None:
    """Refuse shapes that cannot be in a file of `num_bytes`, before they are allocated.

    Raises: Refused for more than one element per byte.
    """
    for name, array in stored.items():
        if math.prod(array.shape) > num_bytes:
            raise Refused(
                f"{path}: array {name} claims shape {array.shape}, more than the file's "
                f"{num_bytes} bytes can hold: damaged, or made to exhaust memory"
            )


def read(stored: Mapping[str, Stored], name: str) -> np.ndarray:
    """The float32 numbers of array `name`.

    Raises: Refused when it cannot be read, holds no floats, or not finite ones.
    """
    try:
        array = np.asarray(stored[name].read())
    # Each library has errors of its own for a damaged file.
    except Exception as error:
        raise Refused(f"array {name} {stored[name].shape} is damaged: "
                      f"{first_line(error)}") from None
    if array.dtype.kind != "f" or array.shape != stored[name].shape:
        raise Refused(
            f"array {name} is {array.dtype} {array.shape}; floats of shape "
            f"{stored[name].shape} were announced"
        )
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise Refused(f"array {name} {array.shape} holds NaN or infinite values")
    return array


def assign(model: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Set every weight of `model` (a keras.Model) from `arrays` (variable path -> array).

    Raises: UsageError when a weight is missing, left over, or of another shape; the
    model is then untouched.
    """
    weights = {weight.path: weight for weight in model.weights}
    missing = [path for path in weights if path not in arrays]
    extra = [path for path in arrays if path not in weights]
    if missing or extra:
        raise UsageError(
            f"weights do not fit {model.name!r}: {len(missing)} missing (first: "
            f"{missing[:1]}), {len(extra)} left over (first: {extra[:1]})"
        )
    for path, weight in weights.items():
        if tuple(weight.shape) != tuple(arrays[path].shape):
            raise UsageError(
                f"weights do not fit {model.name!r}: {path} has shape "
                f"{tuple(arrays[path].shape)}, the network needs {tuple(weight.shape)}"
            )
    for path, weight in weights.items():
        weight.assign(arrays[path])
