"""Numbers of TF-slim's own code: the golden files against our networks."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from inception_tf import nets
from inception_tf.weights.arrays import assign
from tests.golden import recipe
from tests.weight_files import names, ours

HERE = Path(__file__).parent

# Network -> golden file, and slim's endpoint -> ours.
GOLDEN = {
    "inception_v3": (
        "slim_inception_v3",
        {
            "Conv2d_4a_3x3": "stem_6",
            "Mixed_5b": "inception_a_1",
            "Mixed_5d": "inception_a_3",
            "Mixed_6a": "reduction_a",
            "Mixed_6e": "inception_b_4",
            "Mixed_7a": "reduction_b",
            "Mixed_7c": "inception_c_2",
            "AuxLogits": "aux_logits",
            "PreLogits": "pre_logits",
            "Logits": "logits",
        },
    ),
    "inception_v4": (
        "slim_inception_v4",
        {
            "Mixed_3a": "stem_4",
            "Mixed_4a": "stem_5",
            "Mixed_5a": "stem",
            "Mixed_5b": "inception_a_1",
            "Mixed_5d": "inception_a_3",
            "Mixed_5e": "inception_a_4",
            "Mixed_6a": "reduction_a",
            "Mixed_6e": "inception_b_4",
            "Mixed_6h": "inception_b_7",
            "Mixed_7a": "reduction_b",
            "Mixed_7c": "inception_c_2",
            "Mixed_7d": "inception_c_3",
            "AuxLogits": "aux_logits",
            "PreLogitsFlatten": "pre_logits",
            "Logits": "logits",
        },
    ),
    "inception_resnet_v2_released": (
        "slim_inception_resnet_v2",
        {
            "Conv2d_4a_3x3": "stem_6",
            "Mixed_5b": "mixed_5b",
            "Mixed_6a": "reduction_a",
            "Mixed_7a": "reduction_b",
            "Conv2d_7b_1x1": "conv_7b",
            "AuxLogits": "aux_logits",
            "PreLogitsFlatten": "pre_logits",
            "Logits": "logits",
        },
    ),
}


def inventory(network):
    """Slim's variable names and shapes of `network`."""
    return json.loads((HERE / f"{GOLDEN[network][0]}_variables.json").read_text())


@pytest.mark.parametrize("network", GOLDEN)
def test_slim_names_of_network_cover_every_slim_variable_once(network):
    assert sorted(names(network, "slim").values()) == sorted(inventory(network))


@pytest.mark.parametrize("network", GOLDEN)
def test_outputs_with_the_recipe_equal_slim(network):
    file, mapping = GOLDEN[network]
    model = nets.build(network, classes=1001, aux_head=True, classifier_activation=None)
    variables = {name: recipe.weight(name, shape) for name, shape in inventory(network).items()}
    assign(model, ours(network, "slim", variables))
    points = nets.endpoints(model)
    probe = keras.Model(model.input, {theirs: points[own] for theirs, own in mapping.items()})

    answers = probe(recipe.images(), training=False)

    golden = np.load(HERE / f"{file}.npz")
    assert {key.split("/")[0] for key in golden} == set(mapping)
    for name in mapping:
        _assert_equal(name, keras.ops.convert_to_numpy(answers[name]), golden)


def _assert_equal(name, answer, golden):
    """Tensors within 1e-4 of their standard deviation; grids by their channels' statistics."""
    tolerance = 1e-4 * answer.std()
    if name in golden:
        assert np.abs(answer - golden[name]).max() < tolerance, name
        return
    assert answer.shape == tuple(golden[f"{name}/shape"])
    for statistic in ("mean", "std"):
        value = getattr(answer, statistic)(axis=(0, 1, 2))
        assert np.abs(value - golden[f"{name}/channel_{statistic}"]).max() < tolerance, name
