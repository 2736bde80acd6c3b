"""The distortions of training images: section "Preprocessing" of TF-slim.

Everything random is drawn from a key, (seed, position), and from nothing else.
Source of all ranges: TF-slim's inception preprocessing; its trainer passes no
bounding boxes and asks for the fast form. color.py has the colours.
"""

import tensorflow as tf

from inception_tf.data import color as colors
from inception_tf.data import images

ASPECT_RATIOS = (0.75, 1.33)  # width / height
MIN_OBJECT_COVERED = 0.1
MAX_ATTEMPTS = 100
RESIZE_METHODS = ("bilinear", "nearest", "bicubic", "area")


def distort(encoded, key, *, image_size, color="fast", min_crop_area=0.05, box=None,
            max_pixels=images.MAX_PIXELS, reduced_decoding=False):
    """A random crop, resized, flipped and coloured.

    key: [2] int64 (seed, position); equal keys give equal images.
    color: "none", "fast" (brightness and saturation) or "full" (also contrast
        and hue in four orders, and four ways to resize).
    box: [1, n, 4] float32 (ymin, xmin, ymax, xmax in 0..1); default the whole image.
    reduced_decoding: decode large JPEG at a part of their size (images.decode_window).

    Shape: string scalar -> [S, S, 3] float32 in [-1, 1].
    """
    pixels, draws = crop(encoded, key, image_size=image_size, color=color,
                         min_crop_area=min_crop_area, box=box, max_pixels=max_pixels,
                         reduced_decoding=reduced_decoding)
    return colors.colored(pixels, draws, color)


def crop(encoded, key, *, image_size, color="fast", min_crop_area=0.05, box=None,
         max_pixels=images.MAX_PIXELS, reduced_decoding=False):
    """What `distort` does before it colours: the pixels, and the draws of their colours.

    Shape: string scalar -> [S, S, 3] float32 in 0..255, [5] float32.
    """
    seeds = tf.stack([key * [1, 2], key * [1, 2] + [0, 1]])
    draws = tf.random.stateless_uniform([2 + colors.NUM_DRAWS], seeds[0])

    encoded, size = images.checked_size(encoded, max_pixels)
    window = random_window(size, seeds[1], min_crop_area, box)
    pixels = images.decode_window(encoded, size, window,
                                  least=image_size if reduced_decoding else None)
    pixels = _resize(pixels, image_size, draws[0], color)
    # Not pixels[:, ::-1]: a slice with a negative stride takes six times as long.
    pixels = tf.cond(draws[1] < 0.5, lambda: tf.reverse(pixels, [1]), lambda: pixels)
    return tf.ensure_shape(pixels, [image_size, image_size, 3]), draws[2:]


def random_window(size, seed, min_crop_area, box=None):
    """(y, x, height, width) of a crop with random area and aspect.

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
    return tf.switch_case(colors.choice(draw, len(branches)), branches)
