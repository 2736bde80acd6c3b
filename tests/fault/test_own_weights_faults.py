"""Hostile files where our networks are expected (F42): `weights=PATH` and `predict`."""

import shutil
import zipfile

import h5py
import pytest

from inception_tf.config import Config
from inception_tf.errors import UsageError
from inception_tf.runs.network import build_network
from inception_tf.serving.predictor import open_predictor
from inception_tf.weights.card import Facts, write_facts
from inception_tf.weights.keras_file import load_weights_file
from tests.hostile_files import (
    HOSTILE,
    compressed_bomb,
    external_link,
    little_memory,
    write_secrets,
)
from tests.weight_files import WIDTH, write_keras_archive

OURS = Config().replace(net="inception_v4", image_size=75, width=WIDTH, repeats=(0, 0, 0),
                        aux_head=False)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """One of our networks, small, as .weights.h5."""
    path = tmp_path_factory.mktemp("ours") / "x.weights.h5"
    build_network(OURS.network, 3).save_weights(path)
    return path


@pytest.fixture
def ours(tmp_path, saved):
    """Copies `saved`, with its first kernel replaced by `change`; path of the copy."""

    def write(change=None):
        path = tmp_path / "x.weights.h5"
        shutil.copy(saved, path)
        if change:
            with h5py.File(path, "r+") as file:
                del file["layers/conv2d/vars/0"]
                change(file, "layers/conv2d/vars/0")
        return path

    return write


@HOSTILE
def test_f42_builder_refuses_weights_that_are_more_than_arrays(
        tmp_path, ours, change, words):
    write_secrets(tmp_path)
    model, path = build_network(OURS.network, 3), ours(change)
    with little_memory(), pytest.raises(ValueError) as error:
        load_weights_file(model, path)
    message = str(error.value)
    assert all(word in message for word in ("x.weights.h5", *words)) and "\n" not in message


@pytest.fixture
def opened(tmp_path, ours):
    """Opens for `predict` a .keras file around `ours`, which says of itself `config`."""

    def open_(config=OURS, change=None, compression=zipfile.ZIP_STORED):
        path = write_keras_archive(tmp_path / "x.keras", ours(change), compression=compression)
        write_facts(path, Facts(config, ("a", "b", "c")))
        return open_predictor(path)

    return open_


def test_f42_good_file_is_opened_for_predict(opened):
    assert opened().class_names == ("a", "b", "c")


@pytest.mark.parametrize(("case", "words"), [
    ({"compression": zipfile.ZIP_DEFLATED}, "config.json is compressed"),
    ({"change": external_link}, "ExternalLink"),
    ({"change": compressed_bomb}, "is chunked or compressed"),
    ({"config": OURS.replace(width=0.1)}, r"stem_1/kernel.*\(3, 3, 3, 2\)"),
    ({"config": OURS.replace(width=8.0)}, "another network than it says.* of width 8"),
    ({"config": OURS.replace(repeats=(200, 0, 0))}, "blocks 200,0,0"),
    ({"config": OURS.replace(net="inception_resnet_v2")}, "another network"),
])
def test_f42_predict_refuses_a_file_that_is_not_the_network_it_claims(
        tmp_path, opened, case, words):
    write_secrets(tmp_path)
    with little_memory(), pytest.raises(UsageError, match=words) as error:
        opened(**case)
    assert "\n" not in str(error.value)
