"""What a network sees of an image when it is scored."""

import dataclasses

import tensorflow as tf

from inception_tf.data import images
from inception_tf.errors import UsageError


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


def preprocessing_of(network, data):
    """The Preprocessing that a run's config.Network and config.Data ask for."""
    return Preprocessing(network.image_size, data.crop_fraction, data.interpolation,
                         data.pixel_centers, data.antialias)


def scoring_crop(encoded, preprocessing, max_pixels=images.MAX_PIXELS):
    """The central crop, resized and scaled as slim's evaluation does.

    Shape: string scalar -> [S, S, 3] float32 in [-1, 1].
    """
    encoded, size = images.checked_size(encoded, max_pixels)
    window = central_window(size, preprocessing.crop_fraction)
    pixels = images.resize(
        images.decode_window(encoded, size, window),
        preprocessing.image_size,
        preprocessing.interpolation,
        preprocessing.pixel_centers,
        preprocessing.antialias,
    )
    # Bicubic overshoots; the range is a promise.
    return tf.clip_by_value(pixels / 127.5 - 1.0, -1.0, 1.0)


def central_window(size, fraction):
    """(y, x, height, width) of tf.image.central_crop: `fraction` of each side.

    Shape: [2] int32 -> [4] int32.
    """
    sides = tf.cast(size, tf.float64)
    start = tf.cast((sides - sides * fraction) / 2, tf.int32)
    return tf.concat([start, size - 2 * start], axis=0)


def _one_of(name, value, choices):
    if value not in choices:
        raise UsageError(f"preprocessing: {name}={value!r} is not one of {', '.join(choices)}")
