"""What goes into a network: its input tensor, and pixels scaled as it was trained."""

import numbers
from collections.abc import Iterable

import keras
import numpy as np

from inception_tf.nets.specs import IMAGE_SIZE, MIN_IMAGE_SIZE


def image_input(input_tensor, input_shape, include_top):
    """The symbolic image a network starts from, validated.

    Without a shape: 299x299 [P] with a classifier, any size without.

    Raises: ValueError when the shape is not (height, width, channels), a side is
    below 75, or `input_tensor` is no Keras tensor.
    """
    if input_tensor is None:
        side = IMAGE_SIZE if include_top else None
        shape = _checked((side, side, 3) if input_shape is None else input_shape)
        return keras.Input(shape, dtype="float32", name="image")
    if not keras.utils.is_keras_tensor(input_tensor):
        raise ValueError(
            f"input_tensor must be a Keras tensor (from keras.Input), got {type(input_tensor)}"
        )
    _checked(input_tensor.shape[1:])
    return input_tensor


def preprocess_input(x, data_format: str | None = None):
    """Pixels as the networks want them: 0..255 -> -1..1 (Keras' "tf" mode).

    Takes NumPy arrays and tensors of the Keras backend, of any dtype and shape.
    Returns float32; the argument stays as it was.

    Args:
        x: the pixels.
        data_format: as in keras.applications; every value gives the same.

    Raises: ValueError for a `data_format` that is none of Keras'.
    """
    if data_format not in (None, "channels_last", "channels_first"):
        raise ValueError("data_format is None, 'channels_last' or 'channels_first', got "
                         f"{data_format!r}")
    x = x.astype("float32") if isinstance(x, np.ndarray) else keras.ops.cast(x, "float32")
    return x / 127.5 - 1.0


def _checked(shape):
    shape = tuple(shape) if isinstance(shape, Iterable) else shape
    if not isinstance(shape, tuple) or len(shape) != 3:
        raise ValueError(f"input_shape is (height, width, channels), got {shape}")
    height, width, channels = shape
    if not isinstance(channels, numbers.Integral) or channels < 1:
        raise ValueError(f"the last entry of input_shape counts channels, got {shape}")
    for side in (height, width):
        if side is not None and not (
                isinstance(side, (int, np.integer)) and side >= MIN_IMAGE_SIZE):
            raise ValueError(
                f"images must be at least {MIN_IMAGE_SIZE}x{MIN_IMAGE_SIZE} (height, width, "
                f"channels last, whole numbers), got {shape}"
            )
    return shape
