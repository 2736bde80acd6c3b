"""weights="imagenet": fetched once, held against its hash, refused where it cannot fit."""

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np
import pytest

from inception_tf import nets
from inception_tf.weights import published
from tests.loopback import Answer
from tests.weight_files import WIDTH, arrays, write_keras_2

NET = "inception_v3"
SMALL = {"width": WIDTH, "input_shape": (75, 75, 3), "weights": "imagenet"}


@pytest.fixture(scope="module")
def named():
    return arrays(NET, "keras")


@pytest.fixture
def cache(trusted, tmp_path, monkeypatch, named):
    """Keras' folder, empty, and a narrow file published under a URL with its hash."""
    body = Path(write_keras_2(tmp_path / "there.h5", named)).read_bytes()
    entry = dataclasses.replace(published.FILES[NET][0], url=trusted.url("/v3.h5", Answer(body)),
                                md5=hashlib.md5(body).hexdigest())
    monkeypatch.setattr(published, "FILES", published.FILES | {NET: (entry,)})
    monkeypatch.setattr(published, "Conversion", functools.partial(
        published.Conversion, width=WIDTH))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "models"


def test_published_file_is_fetched_into_the_cache_and_put_into_the_network(cache, named):
    model = nets.build(NET, **SMALL)
    np.testing.assert_array_equal(
        model.get_layer("logits").kernel.numpy(), named["predictions/kernel"])
    assert [p.name for p in cache.iterdir()] == [published.FILES[NET][0].name]
    body = nets.build(NET, include_top=False, **SMALL)
    np.testing.assert_array_equal(
        body.get_layer("stem_2").kernel.numpy(), named["conv2d_1/kernel"])


def test_f44_file_with_another_hash_is_refused_and_deleted(cache, monkeypatch):
    entry = dataclasses.replace(published.FILES[NET][0], md5="0" * 32)
    monkeypatch.setitem(published.FILES, NET, (entry,))
    with pytest.raises(ValueError, match="could not be downloaded.*put that file"):
        nets.build(NET, **SMALL)
    assert not list(cache.iterdir())


def test_without_network_it_says_which_file_to_put_where(cache, monkeypatch):
    gone = dataclasses.replace(published.FILES[NET][0], url="https://127.0.0.1:9/gone.h5")
    monkeypatch.setitem(published.FILES, NET, (gone,))
    with pytest.raises(ValueError) as caught:
        nets.build(NET, **SMALL)
    for words in (gone.url, gone.md5, str(cache / gone.name), "weights=PATH"):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value) and str(caught.value).count(gone.url) == 1
    with pytest.raises(ValueError, match=r"inception_v4\.safetensors.*huggingface"):
        nets.build("inception_v4", **SMALL)


@pytest.mark.parametrize(
    ("net", "options", "words"),
    [
        (NET, {"classes": 10}, "1000 classes, classes=10"),
        (NET, {"aux_head": True}, "no auxiliary head"),
        (NET, {"repeats": (1, 1, 1)}, "nobody published"),
        ("inception_resnet_v2", {"repeats": (1, 1, 1)}, "nobody published"),
    ],
)
def test_network_that_is_not_the_published_one_is_refused(cache, net, options, words):
    with pytest.raises(ValueError, match=words):
        nets.build(net, **SMALL | options)
    assert not cache.exists()
