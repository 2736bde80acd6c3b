"""Pictures made to cost more than they show: refused wherever pictures are decoded."""

import json
import struct
import subprocess
import sys
import textwrap
import types
import zlib

import numpy as np
import pytest
import tensorflow as tf

from inception_tf.config import Data
from inception_tf.data import images, views
from inception_tf.data.batches import training_batches
from inception_tf.serving.saved_model.signatures import Signatures, save
from tests.bad_images import (
    BAD,
    BAD_KINDS,
    GOOD,
    MemorySource,
    chunk,
    gif,
    jpeg,
    jpeg_of_scans,
    png,
)

SIZE = 75
# What training and an exported model (of argv[1]) do with bad pictures: their causes, answers,
# and what all that took.
SCRIPT = textwrap.dedent("""
    import json, resource, sys, time
    import tensorflow as tf
    from inception_tf.config import Data
    from inception_tf.data.batches import training_batches
    from tests.bad_images import MemorySource, jpeg
    good, bad = [jpeg()], [open(path, "rb").read() for path in sys.argv[2:]]
    model = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]

    def train(pictures):
        stream = training_batches(MemorySource(pictures), Data(max_bad_examples=len(pictures)),
                                  image_size=75, num_classes=4, seed=0, batch_size=len(pictures))
        next(stream)
        stream.close()
        return stream.bad_examples

    def serve(picture):
        try:
            return str(model(image_bytes=tf.constant([picture])) and "")
        except tf.errors.OpError as error:
            return str(error)

    def spent():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.process_time()

    train(good), serve(good[0])
    before = spent()
    causes, answers = train(bad), list(map(serve, bad))
    megabytes, seconds = (now - then for now, then in zip(spent(), before))
    print(json.dumps([causes, answers, megabytes, seconds]))
""")
TEXT = b"k\0\0" + zlib.compress(bytes(7_900_000), 9)
BLACK = (0, 0, 7100, 7100)
BOMBS = [
    gif((10, 10), BLACK),
    gif(BLACK[2:], BLACK),
    gif((10, 10), (0, 0, 10, 10), *[BLACK] * 9),  # its first frame is small: no bomb any more
    jpeg_of_scans(500, side=7000),
    png(chunk(b"zTXt", TEXT) * 200),
    png(first=chunk(b"abCd", struct.pack(">2I5B", 8, 8, 8, 2, 0, 0, 0)), side=7100),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A SavedModel as export writes it, of a network that tells the mean colour."""
    network = tf.Module()
    network.scale = tf.Variable(1.0)
    network.__class__ = type("Network", (tf.Module,), {"__call__": _mean_colour})
    classifier = types.SimpleNamespace(
        preprocessing=views.Preprocessing(SIZE), data=Data(), first_class=0,
        class_names=("red", "green", "blue"))
    folder = tmp_path_factory.mktemp("exported")
    save(folder, Signatures(classifier, network))
    return folder


def _mean_colour(network, pictures):
    means = tf.reduce_mean(pictures, [1, 2]) * network.scale
    return means, means


@pytest.fixture(scope="module")
def met(exported, tmp_path_factory):
    """(causes by id, errors of the exported model, MiB, seconds of CPU) of BOMBS."""
    paths = [tmp_path_factory.mktemp("bombs") / "bomb" for _ in BOMBS]
    for path, content in zip(paths, BOMBS, strict=True):
        path.write_bytes(content)
    done = subprocess.run([sys.executable, "-c", SCRIPT, exported, *paths], text=True,
                          capture_output=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(("number", "cause"), [(0, "first frame does not fill it"),
                                               (1, "--max_image_pixels=50000000"), (2, "")])
def test_f55_gif_bomb_is_refused_or_gives_its_small_first_frame(met, number, cause):
    _refused(met, number, cause)


@pytest.mark.parametrize(("number", "cause"), [(3, "too many scans"), (4, "compressed texts"),
                                               (5, "no header at its start")])
def test_f56_picture_of_more_work_than_its_pixels_is_refused(met, number, cause):
    _refused(met, number, cause)


def test_f55_all_these_took_little_memory_and_time(met):
    _, _, megabytes, seconds = met
    assert megabytes < 64
    assert seconds < 4


def _refused(met, number, cause):
    causes, answers, *_ = met
    for words in (causes.get(f"image_{number}", ""), answers[number]):
        assert cause in words if cause else not words


def test_f55_gif_is_bad_by_its_bytes_alone_not_by_the_crop():
    source = MemorySource([gif((80, 60), (0, 0, 40, 30))] * 15 + [gif((80, 60), (0, 0, 80, 60))])
    stream = training_batches(source, Data(max_bad_examples=15), image_size=SIZE, num_classes=4,
                              seed=0, batch_size=16)
    batch = next(stream)
    stream.close()
    np.testing.assert_array_equal(batch["weight"], batch["index"] == 15)


@pytest.mark.parametrize(("side", "count"), [(7000, 8), (1000, 500), (64, 2000)])
def test_f56_scans_that_are_little_work_pass(side, count):
    """An encoder makes ten; of a small picture any number is little."""
    _, size = images.checked_size(tf.constant(jpeg_of_scans(count, side)))
    assert size.numpy().tolist() == [side, side]


@pytest.fixture(scope="module")
def model(exported):
    return tf.saved_model.load(str(exported)).signatures["serving_default"]


@pytest.mark.parametrize("name", [*BAD, *BAD_KINDS])
def test_f65_exported_model_refuses_what_training_refuses(model, name):
    with pytest.raises(tf.errors.OpError):
        model(image_bytes=tf.constant([{**BAD, **BAD_KINDS}[name][0]]))


@pytest.mark.parametrize("name", GOOD)
def test_f65_exported_model_decodes_as_scoring_does(model, name):
    crop = views.scoring_crop(tf.constant(GOOD[name]), views.Preprocessing(SIZE))
    answer = model(image_bytes=tf.constant([GOOD[name], jpeg()]))["probabilities"][0]
    np.testing.assert_allclose(answer, tf.nn.softmax(tf.reduce_mean(crop, [0, 1])), atol=1e-6)
