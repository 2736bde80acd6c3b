"""Class names: the right one at the right place, offline."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from inception_tf.nets.imagenet import decode_predictions, imagenet_classes


def scores_of(*classes, columns=1000):
    """One row whose best classes are `classes`, in that order."""
    row = np.zeros((1, columns), np.float32)
    row[0, list(classes)] = np.linspace(0.9, 0.5, len(classes))
    return row


def test_imagenet_classes_are_in_the_order_of_tfds():
    import tensorflow_datasets as tfds

    labels = tfds.core.tfds_path("datasets/imagenet2012/labels.txt").read_text().split()
    assert [wordnet_id for wordnet_id, _ in imagenet_classes()] == labels


@pytest.mark.parametrize(
    ("index", "wordnet_id", "name"),
    [
        (0, "n01440764", "tench"),
        (2, "n01484850", "great_white_shark"),
        (281, "n02123045", "tabby"),
        (817, "n04285008", "sports_car"),
        (954, "n07753592", "banana"),
        (999, "n15075141", "toilet_tissue"),
    ],
)
def test_decode_predictions_known_class_gives_its_name(index, wordnet_id, name):
    assert decode_predictions(scores_of(index), top=1) == [
        [(wordnet_id, name, pytest.approx(0.9))]
    ]


def test_decode_predictions_1001_columns_skip_the_background():
    with_background = scores_of(1, 282, columns=1001)
    with_background[0, 0] = 1.0
    ids = [wordnet_id for wordnet_id, _, _ in decode_predictions(with_background, top=2)[0]]
    assert ids == ["n01440764", "n02123045"]


def test_decode_predictions_orders_by_score_then_class():
    first, second, third = decode_predictions(scores_of(7, 3), top=3)[0]
    assert (first[0], second[0]) == (imagenet_classes()[7][0], imagenet_classes()[3][0])
    assert third[0] == imagenet_classes()[0][0]  # all others score 0: lowest class first


def test_decode_predictions_batch_gives_five_per_image_and_takes_tensors():
    import keras

    batch = keras.ops.convert_to_tensor(np.repeat(scores_of(1), 3, axis=0))
    assert [len(row) for row in decode_predictions(batch)] == [5, 5, 5]


@pytest.mark.parametrize("shape", [(1000,), (2, 999), (1, 1000, 1), (2, 20)])
def test_decode_predictions_other_shape_is_named(shape):
    with pytest.raises(ValueError, match=str(list(shape)).replace("[", r"\[")):
        decode_predictions(np.zeros(shape))


@pytest.mark.parametrize("top", [0, -1, 1001])
def test_decode_predictions_top_out_of_range_is_refused(top):
    with pytest.raises(ValueError, match=f"got {top}"):
        decode_predictions(scores_of(0), top=top)


def test_names_equal_the_first_wordnet_lemma_that_timm_ships():
    timm = importlib.util.find_spec("timm")
    if timm is None:
        pytest.skip("timm is not installed: pip install -r requirements-peers.txt")
    # The file is read as it lies: importing timm.data needs torchvision.
    text = (Path(timm.origin).parent / "data/_info/imagenet_synset_to_lemma.txt").read_text()
    lemmas = dict(line.split("\t") for line in text.splitlines())
    for wordnet_id, name in imagenet_classes():
        assert name.replace("_", " ") == lemmas[wordnet_id].split(",")[0]
