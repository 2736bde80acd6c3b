"""The boxes the paper's figures are drawn with, as stock Keras layers.

A figure function says filters, kernel and stride of each box. What varies per
network build and not per box (width, batch-norm settings, initializer, kernel
order) is bound once around the drawing by `layer_options`, so that a figure reads
like the figure. Every layer is channels last and float32 whatever keras.json says: a
network then means the same everywhere. A dtype policy that the program set is kept.
"""

import contextlib
import contextvars
import dataclasses
import math
import numbers
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

Tensor: TypeAlias = keras.KerasTensor
# Keeps 1/sqrt(variance) finite; 1e-3 in TF-slim's inception_utils.
BATCH_NORM_EPSILON = 1e-3


@dataclasses.dataclass(frozen=True)
class LayerOptions:
    """What every convolution of one network has in common."""

    kernel_initializer: str | dict = "he_normal"
    width: float = 1.0
    batch_norm_momentum: float = 0.9997
    batch_norm_gamma: bool = False
    synchronized: bool = False
    kernel_order: str = "released"
    pool_counts_padding: bool = False

    def __post_init__(self):
        for name, fits, what in (
                ("width", lambda v: v > 0, "width multiplies every filter count: above 0"),
                ("batch_norm_momentum", lambda v: 0 <= v <= 1, "batch_norm_momentum is in [0, 1]")):
            object.__setattr__(self, name, number(getattr(self, name), fits, what))
        if self.kernel_order not in ("released", "figure"):
            raise ValueError(f"kernel_order is 'released' or 'figure', got {self.kernel_order!r}")


def number(value: Any, fits: Callable[[Any], bool], what: str) -> Any:
    """`value` as Python's own int or float: Keras takes and saves no NumPy number.

    Raises: ValueError, which begins with `what`, unless it is finite and `fits(value)`.
    """
    value = value.item() if isinstance(value, np.generic) else value
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and fits(value)):
        raise ValueError(f"{what}, got {value!r}")
    return value


_OPTIONS = contextvars.ContextVar("layer_options", default=LayerOptions())  # noqa: B039 (frozen)


@contextlib.contextmanager
def layer_options(options: LayerOptions) -> Iterator[None]:
    """Draw with these LayerOptions inside the `with` block."""
    token = _OPTIONS.set(options)
    try:
        with own_precision():
            yield
    finally:
        _OPTIONS.reset(token)


@contextlib.contextmanager
def own_precision() -> Iterator[None]:
    """Layers made inside are float32 where nobody but `floatx` of keras.json says otherwise.

    Keras makes its first policy from that setting: a policy of the same name is no choice.
    """
    before = keras.config.dtype_policy()
    if before.name == keras.config.floatx():
        keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def conv_bn(x: Tensor, filters: int, kernel_size: int | tuple[int, int], strides: int = 1,
            padding: str = "same", *, name: str,
            kernel_initializer: str | dict | None = None) -> Tensor:
    """Convolution without bias, batch norm, ReLU: the plain box of every figure.

    Args:
        x: its input.
        filters, kernel_size, strides, padding: of the convolution; `width` multiplies the filters.
        name: the layers are `name`, `name_bn` and `name_relu`.
        kernel_initializer: None takes the network's.
    """
    options = _OPTIONS.get()
    x = keras.layers.Conv2D(
        max(1, int(filters * options.width + 0.5)),
        kernel_size,
        strides=strides,
        padding=padding,
        data_format="channels_last",
        use_bias=False,
        kernel_initializer=kernel_initializer or options.kernel_initializer,
        name=name,
    )(x)
    return keras.layers.ReLU(name=f"{name}_relu")(batch_norm(x, name=f"{name}_bn"))


def batch_norm(x: Tensor, *, name: str) -> Tensor:
    """Batch norm with the settings all layers of a network share."""
    options = _OPTIONS.get()
    return keras.layers.BatchNormalization(
        axis=-1,
        momentum=options.batch_norm_momentum,
        epsilon=BATCH_NORM_EPSILON,
        scale=options.batch_norm_gamma,
        synchronized=options.synchronized,
        name=name,
    )(x)


def conv_linear(x: Tensor, filters: int, *, name: str) -> Tensor:
    """1x1 convolution with bias and nothing after it: the boxes marked "Linear".

    `filters` is taken as it is: it has to equal the width of the shortcut.
    Released code has no batch norm here (TF-slim, facenet); section 3.2 of the
    paper leaves it open.
    """
    return keras.layers.Conv2D(
        filters,
        1,
        data_format="channels_last",
        kernel_initializer=_OPTIONS.get().kernel_initializer,
        name=name,
    )(x)


def max_pool(x: Tensor, *, name: str) -> Tensor:
    """3x3 max pooling of stride 2 without padding: every max-pool box there is."""
    return keras.layers.MaxPooling2D(3, strides=2, data_format="channels_last", name=name)(x)


def avg_pool(x: Tensor, *, name: str) -> Tensor:
    """3x3 average pooling of stride 1.

    Padded cells do not count in the mean (TF-slim), unless `pool_counts_padding` (torchvision).
    """
    if _OPTIONS.get().pool_counts_padding:
        x = keras.layers.ZeroPadding2D(data_format="channels_last", name=f"{name}_padding")(x)
        return keras.layers.AveragePooling2D(
            3, strides=1, data_format="channels_last", name=name)(x)
    return keras.layers.AveragePooling2D(
        3, strides=1, padding="same", data_format="channels_last", name=name
    )(x)


def concat(branches: Sequence[Tensor], *, name: str) -> Tensor:
    """Filter concatenation, in the order of the released weights.

    1x1, short, long, pool; the reductions' convolutions before their pool.
    """
    return keras.layers.Concatenate(axis=-1, name=name)(branches)


def scaled_residual(x: Tensor, residual: Tensor, scale: float, *, name: str,
                    relu: bool = True) -> Tensor:
    """ReLU(x + scale * residual) (Figure 20).

    Args:
        x, residual, scale: as above.
        name: of the last layer, ReLU or sum: the block's.
        relu: False ends in the sum.
    """
    residual = keras.layers.Rescaling(scale, name=f"{name}_scale")(residual)
    if not relu:
        return keras.layers.Add(name=name)([x, residual])
    x = keras.layers.Add(name=f"{name}_add")([x, residual])
    return keras.layers.ReLU(name=name)(x)


def kernel_pair(length: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The two kernels whose order Figures 3, 5 and 6 and the released code disagree on.

    Released: [length, 1] then [1, length]; `kernel_order="figure"` swaps them. Filters
    and shapes stay the same, so parameters and multiply-adds do too.
    """
    tall, wide = (length, 1), (1, length)
    return (tall, wide) if _OPTIONS.get().kernel_order == "released" else (wide, tall)
