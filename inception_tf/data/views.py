"""What a network sees of an image when it is scored: one view of it, or up to 144.

The places of all views are integer arithmetic on the sides of the image, so that a
test can hold them against any other computation to the pixel.

[G] is GoogLeNet, arXiv 1409.4842, section 7, to which the paper refers; [K] the ten
crops of Krizhevsky et al. 2012; [S] the released TF-slim code.
"""

import dataclasses
from typing import Any, TypeAlias

import tensorflow as tf

from inception_tf.config import Data, Network
from inception_tf.data import images
from inception_tf.errors import UsageError

# Geometry of [G]: short sides 256 to 352, a network that takes 224.
GOOGLENET_SCALES = (256, 288, 320, 352)
GOOGLENET_FIELD = 224
# Longer pictures are cut to this many squares, about their middle, before the many
# views are taken: one line of pixels, resized, would be larger than memory.
MAX_ASPECT = 32

Side: TypeAlias = Any  # an int or an int32 tensor, pixels


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How an encoded image becomes the input of a network; travels with its weights.

    image_size: side of the square input, pixels.
    crop_fraction: share of each side that the central crop keeps (0.875 [S]:
        each side, not the area, which slim's comment claims).
    interpolation: "bilinear" or "bicubic".
    pixel_centers: "half", or "corner" for TF1's resize.
    antialias: low-pass before shrinking, as PIL and timm do.
    """

    image_size: int
    crop_fraction: float = 0.875
    interpolation: str = "bilinear"
    pixel_centers: str = "half"
    antialias: bool = False

    def __post_init__(self):
        _one_of("interpolation", self.interpolation, ("bilinear", "bicubic"))
        _one_of("pixel_centers", self.pixel_centers, ("half", "corner"))
        if self.antialias and self.pixel_centers == "corner":
            raise UsageError("antialias needs pixel_centers='half': TF1's resize has none")

    def resized(self, pixels: tf.Tensor, size: int | list) -> tf.Tensor:
        """`pixels` resized to `size`: a side, or [height, width]; float32, same range."""
        return images.resize(pixels, size, self.interpolation, self.pixel_centers, self.antialias)


def preprocessing_of(network: Network, data: Data) -> Preprocessing:
    """The Preprocessing that a run's config asks for."""
    return Preprocessing(network.image_size, data.crop_fraction, data.interpolation,
                         data.pixel_centers, data.antialias)


def scoring_crop(encoded: tf.Tensor, preprocessing: Preprocessing,
                 max_pixels: int = images.MAX_PIXELS) -> tf.Tensor:
    """The central crop, resized and scaled as slim's evaluation does.

    Shape: string scalar -> [S, S, 3] float32 in [-1, 1].
    """
    encoded, size = images.checked_size(encoded, max_pixels)
    window = central_window(size, preprocessing.crop_fraction)
    pixels = images.decode_window(encoded, size, window)
    return _scaled(preprocessing.resized(pixels, preprocessing.image_size))


def central_window(size: tf.Tensor, fraction: float) -> tf.Tensor:
    """(y, x, height, width) of tf.image.central_crop: `fraction` of each side.

    Shape: [2] int32 -> [4] int32.
    """
    sides = tf.cast(size, tf.float64)
    start = tf.cast((sides - sides * fraction) / 2, tf.int32)
    return tf.concat([start, size - 2 * start], axis=0)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Which views of an image are scored; their softmax is averaged.

    crops: 1 is `scoring_crop`. 10 [K] takes the corners and the middle of the central
        square, and their mirror images; 12 the whole square as well. 144 [G] takes
        these twelve of three squares (start, middle, end of the longer side) at each of
        four scales.
    scales: what the shorter side is resized to, pixels; empty for 1 crop.
    field: side of the crops at these scales, pixels; resized to the input if it differs.
    """

    crops: int
    scales: tuple[int, ...] = ()
    field: int = 0

    def __post_init__(self):
        if self.crops not in NUM_SCALES:
            raise UsageError(f"--protocol={self.crops} is not one of 1, 10, 12, 144")
        if len(self.scales) != NUM_SCALES[self.crops]:
            raise UsageError(f"--protocol={self.crops} takes {NUM_SCALES[self.crops]} scale(s), "
                             f"got {len(self.scales)}: {', '.join(map(str, self.scales))}")
        if self.scales and min(self.scales) < self.field:
            raise UsageError(f"--scales: {min(self.scales)} pixels are less than the crops of "
                             f"{self.field}")

    @property
    def plain(self) -> int:
        """Views that are no mirror image of another."""
        return max(1, self.crops // 2)

    @property
    def has_whole_square(self) -> bool:
        """Whether the square as a whole is a view."""
        return self.crops > 10

    @property
    def squares(self) -> tuple[int, ...]:
        """Which of the three squares are used: 0 start, 1 middle, 2 end of the longer side."""
        return (0, 1, 2) if self.crops == 144 else (1,)


NUM_SCALES = {1: 0, 10: 1, 12: 1, 144: 4}


def protocol_of(crops: int, scales: str | tuple[int, ...], image_size: int) -> Protocol:
    """The Protocol of `crops` views for a network of `image_size`.

    scales: "scaled" keeps the fields of view of [G] and cuts crops of the network's own
    size: 256..352 times image_size / 224 (342, 384, 427, 470 at 299). "googlenet" keeps
    [G]'s pixels: crops of 224 at 256..352, resized to the network. A tuple of ints
    gives the shorter sides; crops have the network's own size.
    """
    if crops == 1 or crops not in NUM_SCALES:
        return Protocol(crops)
    number = NUM_SCALES[crops]
    if scales == "googlenet":
        return Protocol(crops, GOOGLENET_SCALES[:number], GOOGLENET_FIELD)
    if isinstance(scales, str):
        scales = tuple(resized_side(side, GOOGLENET_FIELD, image_size)
                       for side in GOOGLENET_SCALES[:number])
    return Protocol(crops, scales, image_size)


def plain_views(encoded: tf.Tensor, preprocessing: Preprocessing, protocol: Protocol,
                max_pixels: int = images.MAX_PIXELS) -> tf.Tensor:
    """The views that are not mirrored, all from one decode.

    By scale, square, then top left, top right, bottom left, bottom right, middle, whole square.

    Args:
        encoded: the bytes of the image.
        preprocessing: how the views are resized.
        protocol: which views.
        max_pixels: an image of more is refused.

    Shape: string scalar -> [protocol.plain, S, S, 3] float32 in [-1, 1].
    """
    if protocol.crops == 1:
        return scoring_crop(encoded, preprocessing, max_pixels)[tf.newaxis]
    encoded, size = images.checked_size(encoded, max_pixels)
    pixels = images.decode_window(encoded, size, _without_excess(size))
    found = []
    for scale in protocol.scales:
        found += _views_at(pixels, scale, preprocessing, protocol)
    return tf.stack(found)


def with_mirrors(plain: tf.Tensor, protocol: Protocol) -> tf.Tensor:
    """Plain views and, behind them, their mirror images; a single crop has none.

    Shape: [..., protocol.plain, S, S, 3] -> [..., protocol.crops, S, S, 3].
    """
    if protocol.crops == 1:
        return plain
    return tf.concat([plain, tf.reverse(plain, axis=[-2])], axis=-4)


def _views_at(pixels, scale, preprocessing, protocol):
    """The plain views at one scale, [S, S, 3] each."""
    height, width = tf.unstack(tf.shape(pixels)[:2])
    height, width = resized_sides(height, width, scale)
    resized = _scaled(preprocessing.resized(pixels, [height, width]))
    found = []
    for number in protocol.squares:
        y, x = square_corners(height, width)[number]
        square = resized[y:y + scale, x:x + scale]
        found += [_to_input(square[top:top + protocol.field, left:left + protocol.field],
                            preprocessing, protocol.field)
                  for top, left in crop_corners(scale, protocol.field)]
        if protocol.has_whole_square:
            found.append(_to_input(square, preprocessing, scale))
    return found


def _to_input(pixels, preprocessing, side):
    """A square of `side` at the size the network takes: untouched where that is its size."""
    size = preprocessing.image_size
    if side == size:
        return tf.ensure_shape(pixels, [size, size, 3])
    return tf.clip_by_value(preprocessing.resized(pixels, size), -1.0, 1.0)


def resized_sides(height: Side, width: Side, scale: int) -> tuple[Side, Side]:
    """(height, width) with the shorter side at `scale` and the aspect kept."""
    shorter = tf.minimum(height, width)
    return resized_side(height, shorter, scale), resized_side(width, shorter, scale)


def resized_side(side: Side, shorter: Side, scale: int) -> Side:
    """`side` times scale / shorter, rounded to the nearest (halves up)."""
    return (2 * scale * side + shorter) // (2 * shorter)


def square_corners(height: Side, width: Side) -> tuple[tuple[Side, Side], ...]:
    """(y, x) of the squares at the start, the middle and the end of the longer side.

    On a square image the three are one.
    """
    down, right = height - tf.minimum(height, width), width - tf.minimum(height, width)
    return (0, 0), (down // 2, right // 2), (down, right)


def crop_corners(side: int, field: int) -> tuple[tuple[int, int], ...]:
    """(y, x) of the crops in a square: four corners and the middle, as `plain_views` lists them."""
    end, middle = side - field, (side - field) // 2
    return (0, 0), (0, end), (end, 0), (end, end), (middle, middle)


def _without_excess(size):
    """(y, x, height, width) of the image without what lies beyond MAX_ASPECT squares."""
    kept = tf.minimum(size, MAX_ASPECT * tf.reduce_min(size))
    return tf.concat([(size - kept) // 2, kept], axis=0)


def _scaled(pixels):
    """From 0..255 to [-1, 1]. Bicubic overshoots; the range is a promise."""
    return tf.clip_by_value(pixels / 127.5 - 1.0, -1.0, 1.0)


def _one_of(name, value, choices):
    if value not in choices:
        raise UsageError(f"preprocessing: {name}={value!r} is not one of {', '.join(choices)}")
