"""The colours of training images: TF-slim's two forms, one compiled pass over the pixels each.

Source of ranges and orders: TF-slim's inception preprocessing. Each operation is the closed
form of TensorFlow's and equals it within rounding, without a way through HSV and without a
pass over memory for each operation. The same functions serve one image in the input
pipeline and a batch on an accelerator.
"""

import functools
import itertools
from typing import Any

import tensorflow as tf

# What is drawn for each operation, uniformly; hue in turns of the circle.
RANGES = {
    "brightness": (-32 / 255, 32 / 255),
    "saturation": (0.5, 1.5),
    "hue": (-0.2, 0.2),
    "contrast": (0.5, 1.5),
}

# Slim's four orders of the full form.
FULL_ORDERS = (
    ("brightness", "saturation", "hue", "contrast"),
    ("saturation", "brightness", "contrast", "hue"),
    ("contrast", "hue", "brightness", "saturation"),
    ("hue", "saturation", "contrast", "brightness"),
)
# The later slim always takes this order in the fast form; an early one swapped it.
ORDERS = {"none": (), "fast": (("brightness", "saturation"),), "full": FULL_ORDERS}

# Draws in [0, 1) of one image: the order, then one for each of RANGES.
NUM_DRAWS = 1 + len(RANGES)
# Instead of the range of a grey pixel, which is zero, where it divides.
_TINY = 1e-30


def colored(pixels: tf.Tensor, draws: tf.Tensor, form: str) -> tf.Tensor:
    """One image recoloured and scaled; only the order drawn is computed.

    form: "none", "fast" (brightness and saturation) or "full" (also hue and contrast,
        in four orders).

    Shape: [S, S, 3] float32 in 0..255, [5] -> [S, S, 3] float32 in [-1, 1].
    """
    branches = [functools.partial(_compiled(order), pixels, draws) for order in ORDERS[form]]
    if not branches:
        return pixels / 127.5 - 1.0
    if len(branches) == 1:
        return branches[0]()
    return tf.switch_case(choice(draws[0], len(branches)), branches)


def batch_colored(pixels: tf.Tensor, draws: tf.Tensor, form: str) -> tf.Tensor:
    """`colored` of each image of a batch, for a device to which all orders are cheap.

    Shape: [n, S, S, 3] float32 in 0..255, [n, 5] -> [n, S, S, 3] float32 in [-1, 1].
    """
    branches = [_compiled(order)(pixels, draws) for order in ORDERS[form]]
    if not branches:
        return pixels / 127.5 - 1.0
    chosen = choice(draws[:, 0], len(branches))[:, tf.newaxis, tf.newaxis, tf.newaxis]
    result = branches.pop()
    for number, branch in enumerate(branches):
        result = tf.where(tf.equal(chosen, number), branch, result)
    return result


def finished(batch: dict[str, tf.Tensor], form: str) -> tf.Tensor:
    """The images of a training batch as a network takes them, coloured here if not yet so.

    Shape: image [n, S, S, 3], as bytes with draws [n, 5], or as it is returned;
        weight [n] -> [n, S, S, 3] float32 in [-1, 1], zero where the weight is.
    """
    if "draws" not in batch:
        return batch["image"]
    pixels = batch_colored(tf.cast(batch["image"], tf.float32), batch["draws"], form)
    good = batch["weight"][:, tf.newaxis, tf.newaxis, tf.newaxis] > 0
    return tf.where(good, pixels, 0.0)


def choice(draw: tf.Tensor, count: int) -> tf.Tensor:
    """The number 0 .. count - 1 that a draw in [0, 1) stands for."""
    return tf.cast(draw * count, tf.int32)


# One function an order for the whole process: each is compiled once for each shape.
@functools.cache
def _compiled(order):
    return tf.function(functools.partial(_in_order, order=order), autograph=False,
                       jit_compile=True)


def _in_order(pixels, draws, order):
    """Shape: [..., S, S, 3] in 0..255, [..., 5] -> [..., S, S, 3] in [-1, 1]."""
    _, *drawn = tf.split(draws[..., tf.newaxis, tf.newaxis, :], NUM_DRAWS, axis=-1)
    amounts = {name: low + draw * (high - low)
               for (name, (low, high)), draw in zip(RANGES.items(), drawn, strict=True)}
    return (tf.clip_by_value(recolored(pixels * (1 / 255), amounts, order), 0.0, 1.0) - 0.5) * 2.0


def recolored(pixels: tf.Tensor, amounts: dict[str, Any],
              order: tuple[str, ...]) -> tf.Tensor:
    """The operations of `order` with their `amounts` (name -> number), in tf.image's meaning.

    Operations between two changes of contrast, if hue is among them, share one conversion to
    the hexcone and back: XLA would compute each pixel's sextant again for every operation.

    Shape: [..., S, S, 3], any range.
    """
    for is_contrast, group in itertools.groupby(order, "contrast".__eq__):
        names = list(group)
        if is_contrast:
            pixels = _contrasted(pixels, amounts["contrast"])
        elif "hue" in names:
            pixels = _on_hexcone(pixels, amounts, names)
        else:
            for name in names:
                pixels = _ON_CHANNELS[name](pixels, amounts[name])
    return pixels


def _saturated(pixels, factor):
    """tf.image.adjust_saturation without HSV: each channel's distance from the largest scaled.

    Shape: [..., 3], any range.
    """
    _, high, low = _extremes(pixels)
    return high - (high - pixels) * _bounded(factor, high, low)


def _contrasted(pixels, factor):
    """tf.image.adjust_contrast: each channel's distance from its mean over the image scaled.

    Shape: [..., S, S, 3], any range.
    """
    mean = tf.reduce_mean(tf.reduce_mean(pixels, -3, keepdims=True), -2, keepdims=True)
    return (pixels - mean) * factor + mean


_ON_CHANNELS = {"brightness": tf.add, "saturation": _saturated}


def _on_hexcone(pixels, amounts, names):
    """Brightness, saturation and hue of `names`, in that order.

    A hue is 0 at red, 2 at green, 4 at blue, of 6. A channel is at the largest value up to
    one from its own hue, at the smallest from two on, linear between: that is all of HSV.
    """
    (red, green, blue), high, low = _extremes(pixels)
    scale = 1.0 / tf.maximum(high - low, _TINY)
    hue = tf.where(
        tf.equal(high, red), (green - blue) * scale,
        tf.where(tf.equal(high, green), 2.0 + (blue - red) * scale, 4.0 + (red - green) * scale))
    for name in names:
        if name == "brightness":
            high, low = high + amounts[name], low + amounts[name]
        elif name == "saturation":
            low = high - (high - low) * _bounded(amounts[name], high, low)
        else:
            hue += 6.0 * amounts[name]
    distance = hue - tf.constant([0.0, 2.0, 4.0]) + 3.0
    distance = tf.abs(distance - 6.0 * tf.floor(distance * (1 / 6)) - 3.0)
    return low + (high - low) * tf.clip_by_value(2.0 - distance, 0.0, 1.0)


def _bounded(factor, high, low):
    """The factor that keeps the saturation (high - low) / high in 0..1, as tf.image does.

    A pixel below black has saturation zero.
    """
    return tf.maximum(tf.minimum(factor, high / tf.maximum(high - low, _TINY)), 0.0)


def _extremes(pixels):
    """((red, green, blue), largest, smallest), each [..., 1].

    By slices: XLA reduces over three channels at half the speed.
    """
    red, green, blue = tf.split(pixels, 3, axis=-1)
    return ((red, green, blue), tf.maximum(tf.maximum(red, green), blue),
            tf.minimum(tf.minimum(red, green), blue))
