"""Random crops of training images; color.py has their colours.

Everything random is drawn from a key, (seed, position), and from nothing else.
Source of all ranges: TF-slim's inception preprocessing; its trainer passes no
bounding boxes and asks for the fast form.
"""

import tensorflow as tf

from inception_tf.config import Data
from inception_tf.data import images
from inception_tf.data.color import NUM_DRAWS, choice

ASPECT_RATIOS = (0.75, 1.33)  # width / height
MIN_OBJECT_COVERED = 0.1
MAX_ATTEMPTS = 100
RESIZE_METHODS = ("bilinear", "nearest", "bicubic", "area")


def random_crop(encoded: tf.Tensor, key: tf.Tensor, data: Data,
                image_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """A random window of an image, resized and flipped, and the draws of its colours.

    Args:
        encoded: the bytes of the image.
        key: [2] int64 (seed, position); equal keys give equal images.
        data: how to crop. With color="full" there are four ways to resize.
        image_size: side of the result, pixels.

    Shape: string scalar -> [S, S, 3] float32 in 0..255, [5] float32.
    """
    seeds = tf.stack([key * [1, 2], key * [1, 2] + [0, 1]])
    draws = tf.random.stateless_uniform([2 + NUM_DRAWS], seeds[0])

    encoded, size = images.checked_size(encoded, data.max_image_pixels)
    window = random_window(size, seeds[1], data.min_crop_area)
    pixels = images.decode_window(encoded, size, window,
                                  least=image_size if data.reduced_decoding else None)
    pixels = _resize(pixels, image_size, draws[0], data.color)
    # Not pixels[:, ::-1]: a slice with a negative stride takes six times as long.
    pixels = tf.cond(draws[1] < 0.5, lambda: tf.reverse(pixels, [1]), lambda: pixels)
    return tf.ensure_shape(pixels, [image_size, image_size, 3]), draws[2:]


def random_window(size: tf.Tensor, seed: tf.Tensor, min_crop_area: float,
                  box: tf.Tensor | None = None) -> tf.Tensor:
    """(y, x, height, width) of a crop with random area and aspect.

    Args:
        size: height and width of the image.
        seed: [2] integers.
        min_crop_area: smallest share of the image's area.
        box: [1, n, 4] float32 (ymin, xmin, ymax, xmax in 0..1); default the whole image.

    Shape: [2] int32 -> [4] int32.
    """
    whole = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([size, [3]], axis=0),
        whole if box is None else box,
        seed,
        min_object_covered=MIN_OBJECT_COVERED,
        aspect_ratio_range=ASPECT_RATIOS,
        area_range=(min_crop_area, 1.0),
        max_attempts=MAX_ATTEMPTS,
        use_image_if_no_bounding_boxes=True,
    )
    # The kernel gives -1 for "all channels"; of the sides it always gives numbers.
    return tf.concat([begin[:2], extent[:2]], axis=0)


def _resize(pixels, image_size, draw, color):
    if color != "full":
        return images.resize(pixels, image_size)
    branches = [lambda m=m: images.resize(pixels, image_size, m) for m in RESIZE_METHODS]
    return tf.switch_case(choice(draw, len(branches)), branches)
