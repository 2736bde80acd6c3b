"""What goes into a network: its input tensor, and pixels scaled as it was trained."""

import numbers

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
        shape = (side, side, 3) if input_shape is None else tuple(input_shape)
        _check_shape(shape)
        return keras.Input(shape, name="image")
    if not keras.utils.is_keras_tensor(input_tensor):
        raise ValueError(
            f"input_tensor must be a Keras tensor (from keras.Input), got {type(input_tensor)}"
        )
    _check_shape(tuple(input_tensor.shape[1:]))
    return input_tensor


def preprocess_input(x):
    """Pixels as the networks want them: 0..255 -> -1..1 (Keras' "tf" mode).

    Takes NumPy arrays and tensors of the Keras backend, of any dtype and shape.
    Returns floats of Keras' default float type; the argument stays as it was.
    """
    if isinstance(x, np.ndarray):
        return x.astype(keras.config.floatx()) / 127.5 - 1.0
    return keras.ops.cast(x, keras.config.floatx()) / 127.5 - 1.0


def _check_shape(shape):
    if len(shape) != 3:
        raise ValueError(f"input_shape is (height, width, channels), got {shape}")
    height, width, channels = shape
    if not isinstance(channels, numbers.Integral) or channels < 1:
        raise ValueError(f"the last entry of input_shape counts channels, got {shape}")
    for side in (height, width):
        if side is not None and side < MIN_IMAGE_SIZE:
            raise ValueError(
                f"images must be at least {MIN_IMAGE_SIZE}x{MIN_IMAGE_SIZE} (height, width, "
                f"channels last), got {shape}"
            )
