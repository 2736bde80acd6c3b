"""From a body to a keras.Model: what all public builders do in the same way."""

import dataclasses
import numbers
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from inception_tf.nets.layers import (
    LayerOptions,
    Tensor,
    batch_norm,
    conv_bn,
    layer_options,
    number,
)
from inception_tf.weights.keras_file import load_weights_file
from inception_tf.weights.published import load_imagenet

# Side of the smallest square input whose grids stay above zero; keras.applications' too.
MIN_IMAGE_SIZE = 75
# Side of the input of the paper.
IMAGE_SIZE = 299
# Grid in front of the auxiliary head at 299x299; its 5x5 convolution needs this size.
AUX_GRID = 17

WeightsPath = str | os.PathLike | None
Body = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclasses.dataclass(frozen=True)
class Initializers:
    """How kernels start: TF1's default (Xavier uniform) where the released code names none.

    None of `aux_conv`: like every convolution.
    """

    conv: str = "glorot_uniform"
    logits: str = "glorot_uniform"
    aux_logits: str | dict = "glorot_uniform"
    aux_conv: dict | None = None


@dataclasses.dataclass(frozen=True)
class Spec:
    """Numbers of one network that are not in its figures.

    Attributes:
        repeats: blocks of the stages A, B, C.
        initializers: of its kernels.
        weights_of_blocks: numbers in the weights of one block of A, B, C at width 1 (a mean
            where they differ), by which `sizes` knows the memory before it is taken.
        other_weights: the same, of all outside the blocks but the classifier.
        features: that the classifier takes.
        residual_scales: of A, B, C; empty: no residual network.
    """

    repeats: tuple[int, int, int]
    initializers: Initializers
    weights_of_blocks: tuple[int, int, int]
    other_weights: int
    features: int
    residual_scales: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Top:
    """What the caller wants on top of the features."""

    include_top: bool
    pooling: str | None
    classes: int
    activation: str | Callable | None
    dropout: float
    aux_head: bool
    initializers: Initializers
    final_batch_norm: bool = False

    def __post_init__(self):
        if self.pooling not in (None, "avg", "max"):
            raise ValueError(f"pooling is None, 'avg' or 'max', got {self.pooling!r}")
        object.__setattr__(self, "classes", count(self.classes, "classes"))
        object.__setattr__(self, "dropout", dropped(self.dropout))
        if self.aux_head and not self.include_top:
            raise ValueError("aux_head=True is a second classifier: it needs include_top=True")


def dropped(share: Any) -> float:
    """`share` as a float that Dropout takes; raises ValueError for any other."""
    return number(share, lambda v: 0 <= v < 1, "dropout is the share dropped, in [0, 1)")


def count(value: Any, what: str) -> int:
    """`value` as an int above 0; raises ValueError for anything else."""
    what = f"{what} is a whole number above 0"
    return number(value, lambda v: isinstance(v, int) and v > 0, what)


def triple(given: Iterable | None, default: tuple, what: str) -> tuple:
    """`given` as a tuple of three, one per stage A, B, C; `default` when None or empty.

    Raises: ValueError unless there are three numbers, none negative (repeats: whole).
    """
    if given is None or isinstance(given, (tuple, list)) and not given:
        return default
    kind = int if what == "repeats" else (int, float)
    message = f"{what} takes one number per stage A, B, C, none negative"
    if not isinstance(given, Iterable) or len(values := tuple(given)) != 3:
        raise ValueError(f"{message}, got {given!r}")
    return tuple(number(v, lambda v: isinstance(v, kind) and v >= 0, message) for v in values)


def assemble(body: Body, layers: LayerOptions, top: Top, *,
             input_tensor: Tensor | None, input_shape: Sequence[int | None] | None,
             weights: WeightsPath, name: str) -> keras.Model:
    """The whole network, from the image to the outputs.

    Args:
        body: maps the image to (features, features for the auxiliary head).
        layers: what its convolutions have in common.
        top: what follows the features.
        input_tensor, input_shape, weights, name: as in `InceptionV4`.
    """
    with layer_options(layers):
        image = image_input(input_tensor, input_shape, top.include_top)
        features, aux_features = body(image)
        return model_of(image, outputs_of(features, aux_features, top), weights, name)


def model_of(image: Tensor, outputs: Any, weights: WeightsPath, name: str) -> keras.Model:
    """The model from where `image` comes from to `outputs`, with `weights` unless None."""
    # A list of one input would make Keras warn at every call with a plain tensor.
    sources = keras.utils.get_source_inputs(image)
    _tell_apart(image, outputs, name)
    model = keras.Model(sources[0] if len(sources) == 1 else sources, outputs, name=name)
    if weights is not None:
        # The file does not hold the user's own layers before `image`.
        own = keras.Model(image, outputs, name=name)
        if weights == "imagenet":
            load_imagenet(own)
        else:
            load_weights_file(own, weights)
    return model


def _tell_apart(image, outputs, name):
    """Prefixes the layers with `name` if `image` already feeds another of our networks.

    One model can then hold both. The weights keep their own paths, by which they are loaded.

    Raises: ValueError when the other network has the same name.
    """
    # Keras has no public way from a tensor to what was built on it.
    on_image = [node.operation.name for node in image._keras_history.operation._outbound_nodes]
    if on_image.count("stem_1") < 2:
        return
    if f"{name}_stem_1" in on_image:
        raise ValueError(f"input_tensor already feeds another network: {name!r} cannot be the name "
                         "of two, give name=")
    for layer in keras.Model(image, outputs).layers:
        if not isinstance(layer, keras.layers.InputLayer):
            layer.name = f"{name}_{layer.name}"


def image_input(input_tensor: Tensor | None, input_shape: Sequence[int | None] | None,
                include_top: bool) -> Tensor:
    """The symbolic image a network starts from, validated.

    Without a shape: 299x299 with a classifier, any size without.

    Raises: ValueError when the shape is not (height, width, channels), a side is
    below 75, or `input_tensor` is no Keras tensor.
    """
    if input_tensor is None:
        side = IMAGE_SIZE if include_top else None
        shape = _checked((side, side, 3) if input_shape is None else input_shape)
        return keras.Input(shape, dtype="float32", name="image")
    if not keras.utils.is_keras_tensor(input_tensor):
        raise ValueError("input_tensor must be a Keras tensor (from keras.Input), got "
                         f"{type(input_tensor)}")
    _checked(input_tensor.shape[1:])
    return input_tensor


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels as the networks want them: 0..255 -> -1..1 (Keras' "tf" mode).

    Takes NumPy arrays and tensors of the Keras backend, of any dtype and shape.
    Returns float32; the argument stays as it was.

    Args:
        x: the pixels.
        data_format: as in keras.applications; every value gives the same.

    Raises: ValueError for a `data_format` that Keras does not have.
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
            raise ValueError(f"images must be at least {MIN_IMAGE_SIZE}x{MIN_IMAGE_SIZE} (height, "
                             f"width, channels last, whole numbers), got {shape}")
    return shape


def outputs_of(features: Tensor, aux_features: Tensor, top: Top) -> Tensor | list[Tensor]:
    """Output tensors of a network: one, or [main, auxiliary] with an auxiliary head."""
    if not top.include_top:
        return _pooled(features, top.pooling)
    main = classifier(features, top)
    if not top.aux_head:
        return main
    return [main, aux_classifier(aux_features, top)]


def classifier(x: Tensor, top: Top) -> Tensor:
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
        top.classes, kernel_initializer=top.initializers.logits, dtype="float32", name="logits"
    )(x)
    return _activation(x, top.activation, "predictions")


def aux_classifier(x: Tensor, top: Top) -> Tensor:
    """Auxiliary classifier on the 17x17 grid, as released (TF-slim; not in the paper).

    Any other grid is resized to 17x17 first, so its weights have one shape for all
    image sizes, and at 299x299 it is the released head.

    Shape: [N, H, W, C] -> [N, classes].
    """
    x = _aux_grid(x)
    x = keras.layers.AveragePooling2D(5, strides=3, data_format="channels_last", name="aux_pool")(x)
    x = conv_bn(x, 128, 1, name="aux_1x1")  # 5x5
    x = conv_bn(x, 768, 5, padding="valid", name="aux_5x5",
                kernel_initializer=top.initializers.aux_conv)  # 1x1
    x = keras.layers.Flatten(data_format="channels_last", name="aux_pre_logits")(x)
    x = keras.layers.Dense(
        top.classes, kernel_initializer=top.initializers.aux_logits, dtype="float32",
        name="aux_logits")(x)
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
