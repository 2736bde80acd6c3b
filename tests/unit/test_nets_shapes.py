"""Shapes of every endpoint at every kind of input size."""

import keras
import numpy as np
import pytest

from inception_tf import nets
from tests.golden.inventory import facts_of

# Image side -> grid after each step of a stem and of the body:
# steps 1, 2, 3, the 73x73 and the 71x71 one, then the 35x35, 17x17, 8x8 stages.
GRIDS = {
    299: (149, 147, 147, 73, 71, 35, 17, 8),
    75: (37, 35, 35, 17, 15, 7, 3, 1),
    331: (165, 163, 163, 81, 79, 39, 19, 9),
    None: (None,) * 8,
}

# Endpoint -> (index into GRIDS, channels), for one block per stage.
_STEM_V3 = {
    "stem_1": (0, 32), "stem_2": (1, 32), "stem_3": (2, 64), "stem_4": (3, 64),
    "stem_5": (3, 80), "stem_6": (4, 192),
}  # fmt: skip
_STEM_V4 = {
    "stem_1": (0, 32), "stem_2": (1, 32), "stem_3": (2, 64), "stem_4": (3, 160),
    "stem_5": (4, 192), "stem": (5, 384),
}  # fmt: skip
ENDPOINTS = {
    "inception_v3": _STEM_V3 | {
        "stem": (5, 192), "inception_a_1": (5, 256), "reduction_a": (6, 736),
        "inception_b_1": (6, 768), "reduction_b": (7, 1280), "inception_c_1": (7, 2048),
    },
    "inception_v4": _STEM_V4 | {
        "inception_a_1": (5, 384), "reduction_a": (6, 1024), "inception_b_1": (6, 1024),
        "reduction_b": (7, 1536), "inception_c_1": (7, 1536),
    },
    "inception_resnet_v1": _STEM_V3 | {
        "stem": (5, 256), "inception_resnet_a_1": (5, 256), "reduction_a": (6, 896),
        "inception_resnet_b_1": (6, 896), "reduction_b": (7, 1792),
        "inception_resnet_c_1": (7, 1792),
    },
    "inception_resnet_v2": _STEM_V4 | {
        "inception_resnet_a_1": (5, 384), "reduction_a": (6, 1152),
        "inception_resnet_b_1": (6, 1152), "reduction_b": (7, 2144),
        "inception_resnet_c_1": (7, 2144),
    },
    "inception_resnet_v2_released": _STEM_V3 | {
        "stem": (5, 192), "mixed_5b": (5, 320), "inception_resnet_a_1": (5, 320),
        "reduction_a": (6, 1088), "inception_resnet_b_1": (6, 1088), "reduction_b": (7, 2080),
        "inception_resnet_c_1": (7, 2080), "conv_7b": (7, 1536),
    },
}  # fmt: skip
TOP = ("logits", "predictions", "aux_logits", "aux_predictions")


@pytest.mark.parametrize("network", ENDPOINTS)
def test_endpoints_at_every_image_size_have_the_figures_shapes(network):
    model = nets.build(network, input_shape=(None, None, 3), repeats=(1, 1, 1), aux_head=True)
    probe = keras.Model(model.input, nets.endpoints(model))
    for size in ((299, 299), (75, 75), (331, 299), (None, None)):
        shapes = probe.compute_output_shape((None, *size, 3))
        assert list(shapes.items()) == list(_expected(network, *size).items()), size


def _expected(network, height, width):
    rows, columns = GRIDS[height], GRIDS[width]
    shapes = {
        name: (None, rows[grid], columns[grid], channels)
        for name, (grid, channels) in ENDPOINTS[network].items()
    }
    shapes["pre_logits"] = (None, list(shapes.values())[-1][-1])
    return shapes | {name: (None, 1000) for name in TOP}


# Full networks at 299x299: blocks per stage and the channels of each stage's last.
STAGES = {
    "inception_v3": ((3, 288), (4, 768), (2, 2048)),
    "inception_v4": ((4, 384), (7, 1024), (3, 1536)),
    "inception_resnet_v1": ((5, 256), (10, 896), (5, 1792)),
    "inception_resnet_v2": ((5, 384), (10, 1152), (5, 2144)),
    "inception_resnet_v2_released": ((10, 320), (20, 1088), (10, 2080)),
}


@pytest.mark.parametrize("network", STAGES)
def test_blocks_of_full_network_at_299_have_the_figures_shapes(network):
    layers, _ = facts_of(network, aux_head=True)
    prefix = "inception_resnet" if "resnet" in network else "inception"
    for stage, side, (count, channels) in zip("abc", (35, 17, 8), STAGES[network], strict=True):
        for number in range(1, count):
            assert f"{prefix}_{stage}_{number}" in layers
        assert layers[f"{prefix}_{stage}_{count}"]["output"] == [side, side, channels]
        assert f"{prefix}_{stage}_{count + 1}" not in layers


SMALL = {"width": 0.1, "repeats": (1, 1, 1), "classes": 7}


@pytest.mark.parametrize("network", nets.NETWORKS)
def test_network_of_unknown_size_gives_probabilities_at_every_size(network):
    model = nets.build(network, input_shape=(None, None, 3), aux_head=True, **SMALL)
    for height, width in ((75, 75), (90, 131), (299, 299)):
        for probabilities in model(np.zeros((2, height, width, 3), "float32"), training=False):
            assert probabilities.shape == (2, 7)
            np.testing.assert_allclose(np.sum(probabilities, axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("network", nets.NETWORKS)
def test_auxiliary_head_has_the_same_weights_at_every_size(network):
    fixed = nets.build(network, aux_head=True, **SMALL)
    free = nets.build(network, input_shape=(None, None, 3), aux_head=True, **SMALL)
    assert isinstance(fixed.get_layer("aux_grid"), keras.layers.Identity)
    assert isinstance(free.get_layer("aux_grid"), keras.layers.Resizing)
    assert [weight.path for weight in fixed.weights] == [weight.path for weight in free.weights]

    free.set_weights(fixed.get_weights())
    image = np.random.default_rng(0).uniform(-1, 1, (1, 299, 299, 3)).astype("float32")

    for one, other in zip(fixed(image), free(image), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("network", nets.NETWORKS)
def test_feature_pyramid_gives_one_grid_per_stride(network):
    model = nets.build(network, include_top=False, input_shape=(299, 299, 3), **SMALL)
    pyramid = nets.feature_pyramid(model)
    sides = {name: grid.shape[1] for name, grid in pyramid.output.items()}
    assert sides == {"stride2": 147, "stride4": 71, "stride8": 35, "stride16": 17, "stride32": 8}
    assert pyramid.output["stride32"].shape == model.output.shape


def test_feature_pyramid_of_network_with_heads_leaves_them_out():
    model = nets.build("inception_v4", aux_head=True, **SMALL)
    pyramid = nets.feature_pyramid(model)
    names = {layer.name for layer in pyramid.layers}
    assert not names & {"pre_logits", "logits", "aux_1x1"}
    grids = pyramid(np.zeros((1, 299, 299, 3), "float32"))
    assert grids["stride16"].shape == (1, 17, 17, pyramid.output["stride16"].shape[-1])
