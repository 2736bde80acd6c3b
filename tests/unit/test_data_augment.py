"""Training distortions: stateless, within their ranges, and slim's arithmetic."""

import colorsys
import functools

import numpy as np
import pytest
import tensorflow as tf

from inception_tf.config import Data
from inception_tf.data.augment import RESIZE_METHODS, random_crop, random_window
from inception_tf.data.color import ORDERS, colored
from tests import bad_images

SIZE = 75


def _key(position, seed=0):
    return tf.constant([seed, position], tf.int64)


def _distort(encoded, key, data):
    return colored(*random_crop(encoded, key, data, SIZE), data.color)


@functools.cache
def _graph(color):
    return tf.function(lambda encoded, key: _distort(encoded, key, Data(color=color)))


def _distorted(position, seed=0, encoded=None, color="fast"):
    return _graph(color)(tf.constant(encoded or bad_images.jpeg()), _key(position, seed)).numpy()


@pytest.mark.parametrize("color", ["none", "fast", "full"])
@pytest.mark.parametrize("name", bad_images.GOOD)
def test_every_format_becomes_a_picture_in_range(name, color):
    image = _distorted(1, encoded=bad_images.GOOD[name], color=color)
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.float32
    assert -1 <= image.min() <= image.max() <= 1


@pytest.mark.parametrize("color", ["none", "fast", "full"])
def test_same_position_gives_same_bits_and_another_does_not(color):
    first = _distorted(5, color=color)
    np.testing.assert_array_equal(first, _distorted(5, color=color))
    assert np.abs(first - _distorted(6, color=color)).max() > 0.01
    assert np.abs(first - _distorted(5, seed=1, color=color)).max() > 0.01


@pytest.mark.parametrize("min_area", [0.05, 0.5])
def test_windows_cover_the_ranges_of_area_and_aspect(min_area):
    size = tf.constant([300, 400])
    windows = np.stack([random_window(size, _key(p), min_area) for p in range(500)])
    y, x, height, width = windows.T
    assert (y >= 0).all() and (x >= 0).all()
    assert (y + height <= 300).all() and (x + width <= 400).all()
    area, aspect = height * width / 120_000, width / height
    assert min_area * 0.97 < area.min() < min_area + 0.1 and area.max() > 0.7
    assert 0.73 < aspect.min() < 0.78 and 1.28 < aspect.max() < 1.36


def test_box_is_partly_inside_every_window():
    """min_object_covered: a tenth of the box, as slim asks when boxes are known."""
    box = tf.constant([[[0.8, 0.8, 1.0, 1.0]]])
    for position in range(100):
        y, x, height, width = random_window(
            tf.constant([300, 300]), _key(position), 0.05, box).numpy()
        overlap = (min(y + height, 300) - max(y, 240)) * (min(x + width, 300) - max(x, 240))
        assert y + height > 240 and x + width > 240
        assert overlap >= 0.09 * 60 * 60


def test_half_of_the_pictures_are_mirrored():
    gradient = np.tile(np.linspace(0, 255, 80, dtype=np.uint8)[None, :, None], (60, 1, 3))
    encoded = bad_images.encode(gradient)
    falling = [_distorted(p, encoded=encoded, color="none")[30, 5, 0]
               > _distorted(p, encoded=encoded, color="none")[30, 70, 0] for p in range(100)]
    assert 35 < sum(falling) < 65


def _slim(encoded, position, color):
    """TF-slim's published steps on the decoded image, with the draws of `position`."""
    draws = tf.random.stateless_uniform([7], _key(2 * position)).numpy()
    shape = tf.io.extract_jpeg_shape(encoded)[:2]
    y, x, height, width = random_window(shape, _key(2 * position + 1), 0.05).numpy()
    image = tf.image.convert_image_dtype(tf.io.decode_jpeg(encoded, channels=3), tf.float32)
    method = RESIZE_METHODS[int(4 * draws[0])] if color == "full" else "bilinear"
    image = tf.image.resize(image[y : y + height, x : x + width], [SIZE, SIZE], method)
    if draws[1] < 0.5:
        image = tf.image.flip_left_right(image)
    for name in ORDERS[color][int(len(ORDERS[color]) * draws[2])] if color != "none" else ():
        image = _adjusted(image, name, draws[3:])
    return tf.clip_by_value(image, 0, 1) * 2 - 1


def _adjusted(image, name, draws):
    brightness, saturation, hue, contrast = draws
    return {
        "brightness": lambda: tf.image.adjust_brightness(image, (2 * brightness - 1) * 32 / 255),
        "saturation": lambda: tf.image.adjust_saturation(image, 0.5 + saturation),
        "hue": lambda: tf.image.adjust_hue(image, (2 * hue - 1) * 0.2),
        "contrast": lambda: tf.image.adjust_contrast(image, 0.5 + contrast),
    }[name]()


@pytest.mark.parametrize("color, count", [("none", 10), ("fast", 10), ("full", 40)])
def test_picture_equals_the_same_steps_of_tensorflow_on_the_decoded_image(color, count):
    encoded = bad_images.jpeg(height=120, width=160)
    for position in range(count):
        ours = _distorted(position, encoded=encoded, color=color)
        np.testing.assert_allclose(ours, _slim(encoded, position, color), atol=2e-5)


def test_full_colour_takes_all_orders_and_resize_methods():
    """Within the positions that the test above looks at."""
    draws = np.stack([tf.random.stateless_uniform([7], _key(2 * p)) for p in range(40)])
    for draw in (0, 2):
        assert set((draws[:, draw] * 4).astype(int)) == {0, 1, 2, 3}


def test_full_colour_turns_hue_and_fast_does_not():
    flat = np.full((60, 80, 3), (200, 60, 60), np.uint8)
    encoded = bad_images.encode(flat, "PNG")

    def hues(color):
        centers = [_distorted(p, encoded=encoded, color=color)[40, 40] for p in range(60)]
        return np.array([colorsys.rgb_to_hsv(*(c / 2 + 0.5))[0] for c in centers])

    turned = np.abs((hues("full") + 0.5) % 1 - 0.5)
    assert turned.max() > 0.12
    assert np.abs((hues("fast") + 0.5) % 1 - 0.5).max() < 0.01


def test_reduced_decoding_shows_the_same_crop():
    encoded = bad_images.jpeg(height=900, width=1200)
    whole, reduced = (np.stack([
        _distort(tf.constant(encoded), _key(p),
                 Data(color="none", min_crop_area=0.5, reduced_decoding=reduced))
        for p in range(8)]) for reduced in (False, True))
    assert 0 < np.abs(whole - reduced).mean() < 2 / 127.5  # two of 255 levels
