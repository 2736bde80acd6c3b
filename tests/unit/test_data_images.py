"""Decoding of windows, header checks, scoring crops: against TensorFlow's plain functions."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from inception_tf.data import images, views
from inception_tf.errors import UsageError
from tests import bad_images

BAD = {**bad_images.BAD, **bad_images.BAD_KINDS}


@pytest.mark.parametrize("name", bad_images.GOOD)
def test_header_gives_the_size_of_every_format(name):
    encoded, size = images.checked_size(tf.constant(bad_images.GOOD[name]))
    with bad_images.Image.open(bad_images.io.BytesIO(bad_images.GOOD[name])) as image:
        assert size.numpy().tolist() == [image.height, image.width]


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_window_equals_slice_of_the_whole_image(subsampling, progressive):
    encoded = bad_images.jpeg(height=67, width=93, subsampling=subsampling,
                              progressive=progressive)
    whole = tf.io.decode_jpeg(encoded, channels=3).numpy()
    random = np.random.default_rng(0)
    for _ in range(40):
        y, x = random.integers(0, 60), random.integers(0, 80)
        height, width = random.integers(1, 67 - y + 1), random.integers(1, 93 - x + 1)
        window = tf.constant([y, x, height, width], tf.int32)
        part = images.decode_window(tf.constant(encoded), tf.constant([67, 93]), window)
        np.testing.assert_array_equal(part, whole[y : y + height, x : x + width])


@pytest.mark.parametrize("name", bad_images.GOOD)
def test_every_format_becomes_a_crop_in_range(name):
    crop = views.scoring_crop(tf.constant(bad_images.GOOD[name]), views.Preprocessing(75))
    assert crop.shape == (75, 75, 3)
    assert np.abs(crop).max() <= 1


def test_colour_formats_agree_with_the_jpeg_they_were_made_from():
    crop = {name: views.scoring_crop(tf.constant(bad_images.GOOD[name]), views.Preprocessing(75))
            for name in ("jpeg", "png", "png_rgba", "bmp", "cmyk")}
    for name in ("png", "png_rgba", "bmp", "cmyk"):
        assert np.abs(crop[name] - crop["jpeg"]).mean() < 0.03, name


def test_grey_image_has_three_equal_channels():
    crop = views.scoring_crop(tf.constant(bad_images.GOOD["grey"]), views.Preprocessing(75))
    np.testing.assert_array_equal(crop[..., 0], crop[..., 2])


def test_animation_gives_its_first_frame():
    frames = [bad_images.pixels(seed=i) for i in range(3)]
    first, *rest = (bad_images.Image.fromarray(f) for f in frames)
    file = bad_images.io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest)
    crop = views.scoring_crop(tf.constant(file.getvalue()), views.Preprocessing(75))
    alone = views.scoring_crop(tf.constant(bad_images.encode(frames[0], "PNG")),
                               views.Preprocessing(75))
    assert np.abs(crop - alone).mean() < 0.05


@pytest.mark.parametrize("name", BAD)
def test_bad_image_raises_and_its_cause_is_named(name):
    encoded, cause = BAD[name]
    with pytest.raises(tf.errors.OpError):
        views.scoring_crop(tf.constant(encoded), views.Preprocessing(75))
    assert cause in images.cause_of_failure(encoded, images.MAX_PIXELS)


@pytest.mark.parametrize("window", [(0, 0, 8, 8), (0, 0, 60, 80)])
def test_truncation_is_noticed_whatever_the_window(window):
    """Or a resumed run would count other bad examples than the one it resumes from."""
    encoded, _ = bad_images.BAD["truncated"]
    with pytest.raises(tf.errors.InvalidArgumentError):
        images.decode_window(tf.constant(encoded), tf.constant([60, 80]), tf.constant(window))


def _reduced(encoded, size, window, least):
    return images.decode_window(tf.constant(encoded), tf.constant(size),
                                tf.constant(window, tf.int32), least).numpy()


@pytest.mark.parametrize(("least", "ratio"), [(75, 8), (76, 4), (150, 4), (151, 2), (300, 2)])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_reduced_pixels_are_the_means_of_those_they_stand_for(least, ratio, subsampling):
    window = np.array([37, 102, 601, 1003])
    encoded = bad_images.jpeg(height=700, width=1201, quality=95, subsampling=subsampling)
    reduced = _reduced(encoded, [700, 1201], window, least)
    whole = tf.io.decode_jpeg(encoded, channels=3).numpy().astype(float)
    (top, left), (bottom, right) = ((edge + ratio // 2) // ratio * ratio
                                    for edge in (window[:2], window[:2] + window[2:]))
    assert min(reduced.shape[:2]) >= least
    means = whole[top:bottom, left:right].reshape(
        reduced.shape[0], ratio, reduced.shape[1], ratio, 3).mean((1, 3))
    assert np.abs(reduced - means).max() <= 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_is_not_twice_too_large_or_no_jpeg_is_not_reduced(kind):
    encoded = bad_images.encode(bad_images.pixels(400, 500), kind)
    window = [10, 10, 300, 400]
    whole = images.decode_window(tf.constant(encoded), tf.constant([400, 500]),
                                 tf.constant(window))
    least = 151 if kind == "JPEG" else 20
    np.testing.assert_array_equal(_reduced(encoded, [400, 500], window, least), whole)


@pytest.mark.parametrize("window", [(0, 0, 160, 160), (0, 0, 400, 400)])
def test_truncation_is_noticed_in_reduced_decoding(window):
    encoded = bad_images.jpeg(height=400, width=400)
    with pytest.raises(tf.errors.InvalidArgumentError):
        _reduced(encoded[: len(encoded) // 2], [400, 400], window, 75)


def test_reduced_window_is_the_same_where_bytes_follow_the_end():
    encoded, window = bad_images.jpeg(height=401, width=403), [30, 50, 310, 350]
    np.testing.assert_array_equal(_reduced(encoded, [401, 403], window, 75),
                                  _reduced(encoded + b"\0", [401, 403], window, 75))


@pytest.mark.parametrize("fraction", [0.875, 0.9, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(60, 80), (61, 83), (333, 250), (1, 3000)])
def test_central_window_is_that_of_tf_image_central_crop(fraction, shape):
    image = np.arange(shape[0] * shape[1]).reshape(*shape, 1)
    y, x, height, width = views.central_window(tf.constant(shape), fraction).numpy()
    expected = tf.image.central_crop(image, fraction).numpy()
    np.testing.assert_array_equal(image[y : y + height, x : x + width], expected)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [False, True])
def test_scoring_crop_equals_central_crop_then_resize(interpolation, antialias):
    encoded = bad_images.jpeg(height=201, width=333)
    preprocessing = views.Preprocessing(
        149, interpolation=interpolation, antialias=antialias, pixel_centers="half")
    crop = views.scoring_crop(tf.constant(encoded), preprocessing)
    image = tf.image.convert_image_dtype(tf.io.decode_jpeg(encoded, channels=3), tf.float32)
    image = tf.image.central_crop(image, 0.875)
    image = tf.image.resize(image, (149, 149), interpolation, antialias=antialias)
    np.testing.assert_allclose(crop, tf.clip_by_value(image * 2 - 1, -1, 1), atol=2e-5)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_corner_pixel_centers_give_the_resize_of_tf1(interpolation):
    encoded = bad_images.jpeg(height=201, width=333)
    crop = views.scoring_crop(
        tf.constant(encoded),
        views.Preprocessing(149, interpolation=interpolation, pixel_centers="corner"))
    image = tf.image.central_crop(tf.io.decode_jpeg(encoded, channels=3), 0.875)
    methods = tf.compat.v1.image.ResizeMethod
    method = {"bilinear": methods.BILINEAR, "bicubic": methods.BICUBIC}[interpolation]
    old = tf.compat.v1.image.resize_images(image, (149, 149), method)
    np.testing.assert_allclose(crop, tf.clip_by_value(old / 127.5 - 1, -1, 1), atol=2e-5)
    new = views.scoring_crop(tf.constant(encoded),
                             views.Preprocessing(149, interpolation=interpolation))
    assert np.abs(crop - new).max() > 1e-3


def test_preprocessing_round_trips_as_json():
    stored = json.dumps(dataclasses.asdict(views.Preprocessing(299, pixel_centers="corner")))
    assert views.Preprocessing(**json.loads(stored)) == views.Preprocessing(
        299, pixel_centers="corner")


@pytest.mark.parametrize("setting", [
    {"interpolation": "area"}, {"pixel_centers": "middle"},
    {"pixel_centers": "corner", "antialias": True},
])
def test_preprocessing_of_no_known_kind_is_refused(setting):
    with pytest.raises(UsageError, match="preprocessing|antialias"):
        views.Preprocessing(299, **setting)


def test_scoring_crop_traces_into_a_graph_without_python_calls():
    """It goes into the exported model: no py_function, any size of image."""
    crop = tf.function(lambda e: views.scoring_crop(e, views.Preprocessing(75)),
                       input_signature=[tf.TensorSpec([], tf.string)]).get_concrete_function()
    functions = crop.graph.as_graph_def().library.function
    operations = {node.op for f in functions for node in f.node_def}
    assert "DecodeAndCropJpeg" in operations
    assert not {op for op in operations if "PyFunc" in op}
