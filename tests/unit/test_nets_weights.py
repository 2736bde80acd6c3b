"""The name tables of other projects' weights, and putting arrays into a network."""

import subprocess
import sys

import numpy as np
import pytest

from inception_tf import nets
from inception_tf.errors import UsageError
from inception_tf.weights import keras_applications, slim, timm
from inception_tf.weights.arrays import assign
from tests.golden.inventory import facts_of
from tests.weight_files import names


@pytest.mark.parametrize("network", slim.TABLE.networks)
def test_slim_names_are_those_of_every_weight_of_the_network(network):
    layers, _ = facts_of(network, aux_head=True)
    owners = {path.split("/")[0] for path in names(network, "slim")}
    kinds = ("Conv2D", "Dense", "BatchNormalization")
    assert owners == {name for name, facts in layers.items() if facts["kind"] in kinds}


@pytest.mark.parametrize("network", timm.TABLE.networks)
def test_timm_names_are_those_of_slim_with_gamma_and_one_auxiliary_head(network):
    paths = {path for path in names(network, "slim")
             if network == "inception_v3" or not path.startswith("aux_")}
    gammas = {path.replace("/beta", "/gamma") for path in paths if path.endswith("/beta")}
    assert set(names(network, "timm")) == paths | gammas


@pytest.mark.parametrize(
    ("network", "named", "numbered"),
    [("inception_v3", 1, 94), ("inception_resnet_v2_released", 42, 203)],
)
def test_keras_applications_numbers_all_layers_that_it_does_not_name(network, named, numbered):
    assert len(keras_applications.named_layers(network)) == named
    assert len(keras_applications.numbered_layers(network)) == numbered


def test_tables_import_neither_keras_nor_tensorflow_nor_torch():
    code = (
        "import sys; from inception_tf.weights import arrays, matching;"
        "print(sorted({'keras', 'tensorflow', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def model():
    return nets.build("inception_v4", width=0.1, repeats=(0, 0, 0), classes=5)


def changed(model):
    return {weight.path: weight.numpy() + 1 for weight in model.weights}


def test_assign_sets_every_weight(model):
    arrays = changed(model)
    assign(model, arrays)
    for weight in model.weights:
        np.testing.assert_array_equal(weight.numpy(), arrays[weight.path])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda arrays: arrays.pop("logits/bias"), "logits/bias"),
        (lambda arrays: arrays.update({"aux_1x1/kernel": np.zeros(1)}), "aux_1x1/kernel"),
        (lambda arrays: arrays.update({"logits/bias": np.zeros(6)}), r"\(6,\).*\(5,\)"),
    ],
    ids=["missing", "left over", "of another shape"],
)
def test_assign_refuses_arrays_that_do_not_fit_and_changes_nothing(model, spoil, words):
    before = model.get_weights()
    arrays = changed(model)
    spoil(arrays)
    with pytest.raises(UsageError, match=words):
        assign(model, arrays)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
