"""The views of 10, 12 and 144 crops, against Pillow on a photograph and against hand-made numbers.

The photograph is the portrait of Grace Hopper that matplotlib ships.
"""

import io
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from inception_tf.config import Data
from inception_tf.data.batches import view_batches
from inception_tf.data.views import (
    Preprocessing,
    Protocol,
    crop_corners,
    plain_views,
    protocol_of,
    resized_sides,
    scoring_crop,
    square_corners,
    with_mirrors,
)
from inception_tf.errors import UsageError
from tests.bad_images import MemorySource, jpeg

PHOTOGRAPH = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
SIZE = 75
# Pillow low-passes when it shrinks; so does this.
PREPROCESSING = Preprocessing(SIZE, antialias=True)
# (left, top, right, bottom) of the photograph: each shape, and one smaller than any crop.
PARTS = {
    "portrait": (20, 0, 420, 600),
    "landscape": (0, 100, 500, 420),
    "square": (60, 40, 460, 440),
    "small": (150, 100, 197, 131),
}


def views(encoded, preprocessing, protocol):
    return with_mirrors(plain_views(encoded, preprocessing, protocol), protocol)


def photograph(part):
    return Image.open(PHOTOGRAPH).convert("RGB").crop(PARTS[part])


def encoded(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def pillow_resize(pixels, width, height):
    """Bilinear in float32, channel by channel: Pillow rounds RGB to bytes."""
    channels = [Image.fromarray(pixels[..., c]).resize((width, height), Image.Resampling.BILINEAR)
                for c in range(3)]
    return np.stack([np.asarray(c) for c in channels], axis=-1)


def pillow_views(image, scales, field):
    """GoogLeNet's section 7 in Pillow and numpy: plain views, then mirrored ones."""
    found = []
    pixels = np.asarray(image, np.float32) / 127.5 - 1
    for scale in scales:
        short = min(image.size)
        width, height = (int(np.floor(side * scale / short + 0.5)) for side in image.size)
        resized = pillow_resize(pixels, width, height)
        for share in (0, 1, 2):
            x, y = (width - scale) * share // 2, (height - scale) * share // 2
            square = resized[y:y + scale, x:x + scale]
            far, mid = scale - field, (scale - field) // 2
            for top, left in ((0, 0), (0, far), (far, 0), (far, far), (mid, mid)):
                found.append(square[top:top + field, left:left + field])
            found.append(pillow_resize(square, SIZE, SIZE))
    found = [v if len(v) == SIZE else pillow_resize(v, SIZE, SIZE) for v in found]
    return np.stack(found + [np.fliplr(v) for v in found])


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("scales", ["scaled", "googlenet"])
def test_144_views_equal_pillows(part, scales):
    image = photograph(part)
    protocol = protocol_of(144, scales, SIZE)
    ours = views(encoded(image), PREPROCESSING, protocol).numpy()
    theirs = pillow_views(image, protocol.scales, protocol.field)
    assert ours.shape == theirs.shape == (144, SIZE, SIZE, 3)
    # A view one pixel off differs by 0.3 and more somewhere.
    np.testing.assert_allclose(ours, theirs, atol=5e-5)


@pytest.mark.parametrize("part", ["portrait", "landscape", "square"])
def test_views_lie_where_they_should_to_the_pixel(part):
    """At the scale that the image already has nothing is resized: pixels must be equal."""
    image = photograph(part)
    short = min(image.size)
    protocol = Protocol(144, (short, short, short, short), SIZE)
    ours = views(encoded(image), PREPROCESSING, protocol).numpy()
    theirs = pillow_views(image, protocol.scales, SIZE)
    for plain in range(72):
        if plain % 6 < 5:  # the sixth is the whole square, resized
            np.testing.assert_array_equal(ours[plain], theirs[plain])


@pytest.mark.parametrize("part", ["portrait", "landscape", "small"])
def test_144_views_are_distinct_and_the_second_half_mirrors_the_first(part):
    protocol = protocol_of(144, "scaled", SIZE)
    found = views(encoded(photograph(part)), PREPROCESSING, protocol).numpy()
    assert len({view.tobytes() for view in found}) == 144
    np.testing.assert_array_equal(found[72:], found[:72, :, ::-1])


def test_square_image_has_each_view_three_times():
    found = views(encoded(photograph("square")), PREPROCESSING, protocol_of(144, "scaled", SIZE))
    assert len({view.tobytes() for view in found.numpy()}) == 48


@pytest.mark.parametrize("part", PARTS)
def test_12_and_10_crops_are_views_of_the_central_square_at_the_smallest_scale(part):
    data = encoded(photograph(part))
    all_views = views(data, PREPROCESSING, protocol_of(144, "scaled", SIZE)).numpy()
    twelve = views(data, PREPROCESSING, protocol_of(12, "scaled", SIZE)).numpy()
    np.testing.assert_array_equal(twelve[:6], all_views[6:12])
    np.testing.assert_array_equal(twelve[6:], all_views[78:84])
    ten = views(data, PREPROCESSING, protocol_of(10, "scaled", SIZE)).numpy()
    np.testing.assert_array_equal(ten, np.delete(twelve, [5, 11], axis=0))


def test_one_crop_is_the_scoring_crop():
    data = encoded(photograph("landscape"))
    found = views(data, PREPROCESSING, Protocol(1)).numpy()
    np.testing.assert_array_equal(found, scoring_crop(data, PREPROCESSING)[None])


@pytest.mark.parametrize("crops, scales, size, expected, field", [
    (144, "scaled", 299, (342, 384, 427, 470), 299),
    (144, "googlenet", 299, (256, 288, 320, 352), 224),
    (144, "scaled", 224, (256, 288, 320, 352), 224),
    (144, (300, 320, 340, 360), 299, (300, 320, 340, 360), 299),
    (12, "scaled", 299, (342,), 299),
    (12, "googlenet", 75, (256,), 224),
    (10, "scaled", 80, (91,), 80),
    (1, "scaled", 299, (), 0),
])
def test_protocol_has_the_scales_it_promises(crops, scales, size, expected, field):
    assert protocol_of(crops, scales, size) == Protocol(crops, expected, field)


# Worked by hand: 640 x 480 at 342 is 456 x 342, so the squares start at 0, 57 and 114;
# crops of 299 leave 43 pixels, 21 before the middle one.
@pytest.mark.parametrize("size, scale, resized, squares", [
    ((480, 640), 342, (342, 456), [(0, 0), (0, 57), (0, 114)]),
    ((640, 480), 342, (456, 342), [(0, 0), (57, 0), (114, 0)]),
    ((500, 333), 384, (577, 384), [(0, 0), (96, 0), (193, 0)]),
    ((375, 500), 427, (427, 569), [(0, 0), (0, 71), (0, 142)]),
    ((600, 600), 470, (470, 470), [(0, 0), (0, 0), (0, 0)]),
    ((10, 4), 342, (855, 342), [(0, 0), (256, 0), (513, 0)]),
])
def test_squares_of_an_image_lie_at_both_ends_and_in_the_middle(size, scale, resized, squares):
    found = tuple(int(side) for side in resized_sides(*size, scale))
    assert found == resized
    assert [tuple(int(v) for v in corner) for corner in square_corners(*found)] == squares


def test_crops_of_a_square_lie_in_the_corners_and_the_middle():
    assert crop_corners(342, 299) == ((0, 0), (0, 43), (43, 0), (43, 43), (21, 21))
    assert crop_corners(299, 299) == ((0, 0),) * 5


@pytest.mark.parametrize("crops, scales, message", [
    (13, "scaled", "--protocol=13 is not one of 1, 10, 12, 144"),
    (144, (342, 384), "--protocol=144 takes 4 scale"),
    (12, (342, 384), "--protocol=12 takes 1 scale"),
    (12, (64,), "64 pixels are less than the crops of 75"),
])
def test_impossible_protocol_is_refused(crops, scales, message):
    with pytest.raises(UsageError, match=message):
        protocol_of(crops, scales, SIZE)


def test_picture_of_one_line_of_pixels_is_viewed_about_its_middle():
    """Whole, it would be 94 x 282,000 pixels at the second scale."""
    line = np.zeros((1, 3000, 3), np.uint8)
    line[:, 1400:1600] = 255
    found = views(encoded(Image.fromarray(line)), PREPROCESSING,
                  protocol_of(144, "scaled", SIZE)).numpy()
    assert found.min() > 0.999  # the 32 squares about the middle are white


def test_view_batches_name_each_record_once_from_any_start():
    source = MemorySource([jpeg(seed=i, height=20, width=24) for i in range(7)], labels=[-1] * 7)
    protocol = protocol_of(12, "scaled", SIZE)
    batches = [list(view_batches(source, Data(), preprocessing=Preprocessing(SIZE),
                                 protocol=protocol, start=start, batch_size=2))
               for start in (0, 4)]
    assert [len(found) for found in batches] == [4, 2]
    for whole, later in zip(batches[0][2:], batches[1], strict=True):
        for name in whole:
            np.testing.assert_array_equal(whole[name], later[name])
    assert batches[0][0]["image"].shape == (2, 6, SIZE, SIZE, 3)
    assert [int(i) for b in batches[0] for i in b["index"]] == [*range(7), -1]
    assert batches[0][0]["example_id"].numpy()[1].decode() == source.read(1).example_id
    assert (batches[0][0]["label"].numpy() == -1).all()
