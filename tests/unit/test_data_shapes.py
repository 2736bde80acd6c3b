"""The embedded set: the same pixels everywhere, balanced, prepared by itself."""

import hashlib

import numpy as np
import pytest

from inception_tf.config import Data
from inception_tf.data import drawing, shapes
from inception_tf.data.open import open_source
from inception_tf.data.prepare import prepare
from inception_tf.errors import UsageError

# sha256 of the pixels of two training pictures of each class, before JPEG; `inception-tf prepare`
# must be given a new version number in shapes.py when one of these changes.
DIGESTS = {"small": "60e8a67a901522aaac3395a8429537a8728762996adb382cd9dcc17dcdfad115",
           "large": "842bda1d722bbbe3e8ad4b58b61d644c0fc0f01b52fc8c49c68ec079b0ae084e"}
KINDS = {"small": drawing.SMALL, "large": drawing.LARGE}


def _pictures(split="train", kind=drawing.SMALL):
    classes = len(kind.class_names)
    return [drawing.draw(i % classes, (list(shapes.SPLITS).index(split), i), kind)
            for i in range(2 * classes)]


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_this_version(kind):
    digest = hashlib.sha256()
    for picture in _pictures(kind=KINDS[kind]):
        digest.update(repr(picture.shape).encode() + picture.tobytes())
    assert digest.hexdigest() == DIGESTS[kind]


def test_pictures_vary_in_size_and_differ_between_splits():
    train, validation = _pictures(), _pictures("validation")
    heights, widths = np.array([p.shape[:2] for p in train]).T
    low, high = drawing.SMALL.sides
    assert low <= min(heights.min(), widths.min()) and max(heights.max(), widths.max()) <= high
    assert np.ptp(heights) > 15 and (heights != widths).any()
    assert all(a.shape != b.shape or (a != b).any() for a, b in zip(train, validation,
                                                                    strict=True))


@pytest.mark.parametrize("shape", drawing.LARGE.shapes)
def test_shape_lies_within_the_window_it_is_drawn_in(shape):
    """`_object_frame` cuts at 1.4 radii, the stretch is at most 1 / 0.85."""
    v, u = np.mgrid[-2:2:200j, -2:2:200j]
    inside = drawing._distance(shape, u, v) > 0
    assert inside.any()
    assert np.abs(u[inside]).max() / 0.85 < 1.4 and np.abs(v[inside]).max() / 0.85 < 1.4
    reach = np.sqrt(u[inside] ** 2 + v[inside] ** 2).max()
    assert reach / 0.85 < 1.4


def test_set_is_prepared_as_array_record_with_balanced_classes(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "SPLITS", {"train": 60, "validation": 20, "test": 20})
    data = Data(dataset="shapes", data_dir=str(tmp_path))
    prepare(data)
    source = open_source(data, "train")
    assert list(tmp_path.rglob("*.array_record*"))
    labels = [source.read(i).label for i in range(source.num_examples)]
    assert np.bincount(labels).tolist() == [3] * 20
    assert source.class_names[:5] == ("plain_disc", "stripes_disc", "checks_disc", "dots_disc",
                                      "plain_square")
    assert all(source.read(i).encoded.startswith(b"\xff\xd8") for i in range(5))
    assert open_source(data, "test").num_examples == 20
    assert open_source(data, "train").fingerprint == source.fingerprint


def test_large_set_is_drawn_by_processes_and_stands_next_to_the_small_one(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "SPLITS", {"train": 20, "validation": 20, "test": 20})
    monkeypatch.setattr(shapes, "LARGE_SPLITS", {"train": 100, "validation": 50, "test": 50})
    large, small = (Data(dataset=name, data_dir=str(tmp_path))
                    for name in ("shapes/large", "shapes"))
    prepare(large)
    prepare(small)
    assert (tmp_path / "shapes/1.0.0").is_dir() and (tmp_path / "shapes/large/1.0.0").is_dir()
    source = open_source(large, "train")
    labels = [source.read(i).label for i in range(source.num_examples)]
    assert np.bincount(labels).tolist() == [2] * 50
    assert source.class_names == drawing.LARGE.class_names
    assert open_source(small, "train").num_examples == 20
    # Which process drew a picture makes no difference.
    stored = {source.read(i).encoded for i in range(source.num_examples)}
    assert stored == {shapes._jpeg((i % 50, (0, i), drawing.LARGE)) for i in range(100)}


def test_an_unknown_configuration_is_refused_by_name():
    with pytest.raises(UsageError, match="--dataset=shapes/huge.*huge not found"):
        prepare(Data(dataset="shapes/huge"))
