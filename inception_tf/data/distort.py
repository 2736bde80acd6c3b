"""The distortions of training images: section "Preprocessing" of TF-slim.

Everything random is drawn from a key, (seed, position), and from nothing else.
Source of all ranges: TF-slim's inception preprocessing; its trainer passes no
bounding boxes and asks for the fast form.
"""

import tensorflow as tf

from inception_tf.data import images

ASPECT_RATIOS = (0.75, 1.33)  # width / height
MIN_OBJECT_COVERED = 0.1
MAX_ATTEMPTS = 100
BRIGHTNESS = 32 / 255
SATURATION = (0.5, 1.5)
CONTRAST = (0.5, 1.5)
HUE = 0.2

# Slim's four orders of the full form.
FULL_ORDERS = (
    ("brightness", "saturation", "hue", "contrast"),
    ("saturation", "brightness", "contrast", "hue"),
    ("contrast", "hue", "brightness", "saturation"),
    ("hue", "saturation", "contrast", "brightness"),
)
# The later slim always takes this order in the fast form; an early one swapped it.
FAST_ORDER = ("brightness", "saturation")
RESIZE_METHODS = ("bilinear", "nearest", "bicubic", "area")


def distort(encoded, key, *, image_size, color="fast", min_crop_area=0.05, box=None,
            max_pixels=images.MAX_PIXELS):
    """A random crop, resized, flipped and coloured.

    key: [2] int64 (seed, position); equal keys give equal images.
    color: "none", "fast" (brightness and saturation) or "full" (also contrast
        and hue in four orders, and four ways to resize).
    box: [1, n, 4] float32 (ymin, xmin, ymax, xmax in 0..1); default the whole image.

    Shape: string scalar -> [S, S, 3] float32 in [-1, 1].
    """
    seeds = tf.stack([key * [1, 2], key * [1, 2] + [0, 1]])
    draws = tf.unstack(tf.random.stateless_uniform([7], seeds[0]))

    encoded, size = images.checked_size(encoded, max_pixels)
    window = random_window(size, seeds[1], min_crop_area, box)
    pixels = images.decode_window(encoded, size, window)
    pixels = _resize(pixels, image_size, draws[0], color) / 255.0
    # Not pixels[:, ::-1]: a slice with a negative stride takes six times as long.
    pixels = tf.cond(draws[1] < 0.5, lambda: tf.reverse(pixels, [1]), lambda: pixels)
    pixels = tf.clip_by_value(_recolor(pixels, draws[2:], color), 0.0, 1.0)
    return tf.ensure_shape((pixels - 0.5) * 2.0, [image_size, image_size, 3])


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
    return tf.switch_case(_choice(draw, len(branches)), branches)


def _recolor(pixels, draws, color):
    """Draws: order, brightness, saturation, hue, contrast, each in [0, 1)."""
    if color == "none":
        return pixels
    if color == "fast":
        return _in_order(pixels, draws, FAST_ORDER)
    branches = [lambda order=o: _in_order(pixels, draws, order) for o in FULL_ORDERS]
    return tf.switch_case(_choice(draws[0], len(branches)), branches)


def _in_order(pixels, draws, order):
    adjust = {
        "brightness": lambda x: x + _between(draws[1], -BRIGHTNESS, BRIGHTNESS),
        "saturation": lambda x: tf.image.adjust_saturation(x, _between(draws[2], *SATURATION)),
        "hue": lambda x: tf.image.adjust_hue(x, _between(draws[3], -HUE, HUE)),
        "contrast": lambda x: tf.image.adjust_contrast(x, _between(draws[4], *CONTRAST)),
    }
    for name in order:
        pixels = adjust[name](pixels)
    return pixels


def _between(draw, low, high):
    return low + draw * (high - low)


def _choice(draw, count):
    return tf.cast(draw * count, tf.int32)
