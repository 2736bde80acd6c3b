"""What follows the last block: classifier, pooling, auxiliary classifier."""

import dataclasses
from collections.abc import Callable

import keras

from inception_tf.nets.layers import batch_norm, conv_bn
from inception_tf.nets.specs import Initializers, count, number

# Grid in front of the auxiliary head at 299x299; its 5x5 convolution needs this size.
AUX_GRID = 17


@dataclasses.dataclass(frozen=True)
class Top:
    """What the caller wants to stand on the features."""

    include_top: bool
    pooling: str | None
    classes: int
    activation: str | Callable | None
    dropout: float
    aux_head: bool
    final_batch_norm: bool = False

    def __post_init__(self):
        if self.pooling not in (None, "avg", "max"):
            raise ValueError(f"pooling is None, 'avg' or 'max', got {self.pooling!r}")
        object.__setattr__(self, "classes", count(self.classes, "classes"))
        object.__setattr__(self, "dropout", dropped(self.dropout))
        if self.aux_head and not self.include_top:
            raise ValueError("aux_head=True is a second classifier: it needs include_top=True")


def dropped(share):
    """`share` as a float that Dropout takes; raises ValueError for any other."""
    return number(share, lambda v: 0 <= v < 1, "dropout is the share dropped, in [0, 1)")


def outputs_of(features, aux_features, top, initializers):
    """Output tensors of a network: one, or [main, auxiliary] with an auxiliary head."""
    if not top.include_top:
        return _pooled(features, top.pooling)
    main = classifier(features, top, initializers)
    if not top.aux_head:
        return main
    return [main, aux_classifier(aux_features, top, initializers)]


def classifier(x, top, initializers: Initializers):
    """Average pooling, dropout, softmax (top of Figures 9 and 15).

    With `final_batch_norm` the layer before the pool is normalised, which section 3.3 found
    not to save networks whose residuals are too large.

    Global pooling equals the figures' fixed 8x8 at 299x299 and fits every other size.
    The logits are float32 under any dtype policy: softmax needs the range.

    Shape: [N, H, W, C] -> [N, classes].
    """
    if top.final_batch_norm:
        x = batch_norm(x, name="final_bn")
    x = keras.layers.GlobalAveragePooling2D(data_format="channels_last", name="pre_logits")(x)
    x = keras.layers.Dropout(top.dropout, name="dropout")(x)
    x = keras.layers.Dense(
        top.classes, kernel_initializer=initializers.logits, dtype="float32", name="logits"
    )(x)
    return _activation(x, top.activation, "predictions")


def aux_classifier(x, top, initializers: Initializers):
    """Auxiliary classifier on the 17x17 grid, as released (TF-slim; not in the paper).

    Any other grid is resized to 17x17 first, so its weights have one shape for all
    image sizes, and at 299x299 it is the released head.

    Shape: [N, H, W, C] -> [N, classes].
    """
    x = _aux_grid(x)
    x = keras.layers.AveragePooling2D(
        5, strides=3, data_format="channels_last", name="aux_pool"
    )(x)  # 5x5
    x = conv_bn(x, 128, 1, name="aux_1x1")
    x = conv_bn(
        x, 768, 5, padding="valid", kernel_initializer=initializers.aux_conv, name="aux_5x5"
    )  # 1x1
    x = keras.layers.Flatten(data_format="channels_last", name="aux_pre_logits")(x)
    x = keras.layers.Dense(
        top.classes, kernel_initializer=initializers.aux_logits, dtype="float32", name="aux_logits"
    )(x)
    return _activation(x, top.activation, "aux_predictions")


def _aux_grid(x):
    """`x` on a 17x17 grid, by a layer even when it is: arrays are saved by depth.

    `training` is pinned because Resizing has True as its default (Keras 3.15) and leaves
    that to all layers after it: `model(x)` would move their batch statistics. It is float32
    under any policy: XLA's gradient of a resize is, and does not add up with bfloat16.
    """
    if tuple(x.shape[1:3]) == (AUX_GRID, AUX_GRID):
        return keras.layers.Identity(name="aux_grid")(x)
    return keras.layers.Resizing(
        AUX_GRID, AUX_GRID, data_format="channels_last", dtype="float32", name="aux_grid"
    )(x, training=False)


def _activation(x, activation, name):
    if activation is None:
        return x
    return keras.layers.Activation(activation, dtype="float32", name=name)(x)


def _pooled(x, pooling):
    if pooling is None:
        return x
    kinds = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
    return kinds[pooling](data_format="channels_last", name="pre_logits")(x)
