"""The paper's networks, box by box: golden inventories, and the figures in words."""

import json

import pytest

from tests.golden import inventory

V4, V1, V2 = inventory.NETWORKS
V3, RELEASED = "inception_v3", "inception_resnet_v2_released"


@pytest.mark.parametrize("network", inventory.NETWORKS)
def test_layers_of_the_papers_networks_equal_the_golden_inventory(network):
    now, _ = inventory.facts_of(network, aux_head=True)
    golden = json.loads(inventory.path_of(network).read_text())
    assert list(now) == list(golden), "layer names changed: saved weights will not load"
    assert now == golden


# Transcribed from the figures (of 1602.07261; Inception-v3 and the released variant:
# TF-slim). "3x3 96 /2 V" is a convolution of 96 filters, stride 2, without padding;
# 1x7 has height 1. Branches stand in the order of the concat (1x1, short, long,
# pool last) and every one starts at `source`. Kernel order as released.
FIGURES = {
    "Figure 3, step 4": (V4, "stem_4", "stem_3", ["max 3x3 /2 V", "3x3 96 /2 V"]),
    "Figure 3, step 5": (
        V4,
        "stem_5",
        "stem_4",
        ["1x1 64, 3x3 96 V", "1x1 64, 1x7 64, 7x1 64, 3x3 96 V"],
    ),
    "Figure 3, step 6": (V4, "stem", "stem_5", ["3x3 192 /2 V", "max 3x3 /2 V"]),
    "Figure 3 in v2": (
        V2,
        "stem_5",
        "stem_4",
        ["1x1 64, 3x3 96 V", "1x1 64, 1x7 64, 7x1 64, 3x3 96 V"],
    ),
    "Figure 4": (
        V4,
        "inception_a_4",
        "inception_a_3",
        ["1x1 96", "1x1 64, 3x3 96", "1x1 64, 3x3 96, 3x3 96", "avg 3x3, 1x1 96"],
    ),
    "Figure 5": (
        V4,
        "inception_b_7",
        "inception_b_6",
        [
            "1x1 384",
            "1x1 192, 1x7 224, 7x1 256",
            "1x1 192, 7x1 192, 1x7 224, 7x1 224, 1x7 256",
            "avg 3x3, 1x1 128",
        ],
    ),
    "Figure 6": (
        V4,
        "inception_c_3",
        "inception_c_2",
        [
            "1x1 256",
            "1x1 384, 1x3 256",
            "1x1 384, 3x1 256",
            "1x1 384, 3x1 448, 1x3 512, 1x3 256",
            "1x1 384, 3x1 448, 1x3 512, 3x1 256",
            "avg 3x3, 1x1 256",
        ],
    ),
    "Figure 7, Inception-v4": (
        V4,
        "reduction_a",
        "inception_a_4",
        ["3x3 384 /2 V", "1x1 192, 3x3 224, 3x3 256 /2 V", "max 3x3 /2 V"],
    ),
    "Figure 7, Inception-ResNet-v1": (
        V1,
        "reduction_a",
        "inception_resnet_a_5",
        ["3x3 384 /2 V", "1x1 192, 3x3 192, 3x3 256 /2 V", "max 3x3 /2 V"],
    ),
    "Figure 7, Inception-ResNet-v2": (
        V2,
        "reduction_a",
        "inception_resnet_a_5",
        ["3x3 384 /2 V", "1x1 256, 3x3 256, 3x3 384 /2 V", "max 3x3 /2 V"],
    ),
    "Figure 8": (
        V4,
        "reduction_b",
        "inception_b_7",
        ["1x1 192, 3x3 192 /2 V", "1x1 256, 1x7 256, 7x1 320, 3x3 320 /2 V", "max 3x3 /2 V"],
    ),
    "Figure 10": (
        V1,
        "inception_resnet_a_5_concat",
        "inception_resnet_a_4",
        ["1x1 32", "1x1 32, 3x3 32", "1x1 32, 3x3 32, 3x3 32"],
    ),
    "Figure 11": (
        V1,
        "inception_resnet_b_10_concat",
        "inception_resnet_b_9",
        ["1x1 128", "1x1 128, 1x7 128, 7x1 128"],
    ),
    "Figure 12": (
        V1,
        "reduction_b",
        "inception_resnet_b_10",
        [
            "1x1 256, 3x3 384 /2 V",
            "1x1 256, 3x3 256 /2 V",
            "1x1 256, 3x3 256, 3x3 256 /2 V",
            "max 3x3 /2 V",
        ],
    ),
    "Figure 13": (
        V1,
        "inception_resnet_c_5_concat",
        "inception_resnet_c_4",
        ["1x1 192", "1x1 192, 1x3 192, 3x1 192"],
    ),
    "Figure 14": (
        V1,
        "stem",
        "image",
        ["3x3 32 /2 V, 3x3 32 V, 3x3 64, max 3x3 /2 V, 1x1 80, 3x3 192 V, 3x3 256 /2 V"],
    ),
    "Figure 16": (
        V2,
        "inception_resnet_a_5_concat",
        "inception_resnet_a_4",
        ["1x1 32", "1x1 32, 3x3 32", "1x1 32, 3x3 48, 3x3 64"],
    ),
    "Figure 17": (
        V2,
        "inception_resnet_b_10_concat",
        "inception_resnet_b_9",
        ["1x1 192", "1x1 128, 1x7 160, 7x1 192"],
    ),
    "Figure 18": (
        V2,
        "reduction_b",
        "inception_resnet_b_10",
        [
            "1x1 256, 3x3 384 /2 V",
            "1x1 256, 3x3 288 /2 V",
            "1x1 256, 3x3 288, 3x3 320 /2 V",
            "max 3x3 /2 V",
        ],
    ),
    "Figure 19": (
        V2,
        "inception_resnet_c_5_concat",
        "inception_resnet_c_4",
        ["1x1 192", "1x1 192, 1x3 224, 3x1 256"],
    ),
}


@pytest.mark.parametrize("figure", FIGURES)
def test_branches_of_block_equal_the_figure(figure):
    network, block, source, expected = FIGURES[figure]
    layers, _ = inventory.facts_of(network, aux_head=True)
    assert branches(layers, block, source) == expected


@pytest.mark.parametrize("network", [V4, V2])
def test_first_steps_of_stem_equal_figure_3(network):
    layers, _ = inventory.facts_of(network, aux_head=True)
    assert branches(layers, "stem_3", "image") == ["3x3 32 /2 V, 3x3 32 V, 3x3 64"]


# Block -> (shortcut, linear width, scale): the boxes right of the branches.
RESIDUALS = {
    (V1, "inception_resnet_a_5"): ("inception_resnet_a_4", 256, 0.17),
    (V1, "inception_resnet_b_10"): ("inception_resnet_b_9", 896, 0.10),
    (V1, "inception_resnet_c_5"): ("inception_resnet_c_4", 1792, 0.20),
    (V2, "inception_resnet_a_5"): ("inception_resnet_a_4", 384, 0.17),
    (V2, "inception_resnet_b_10"): ("inception_resnet_b_9", 1152, 0.10),
    (V2, "inception_resnet_c_5"): ("inception_resnet_c_4", 2144, 0.20),
}


@pytest.mark.parametrize(("network", "block"), RESIDUALS)
def test_residual_block_adds_the_scaled_linear_layer_to_its_shortcut(network, block):
    shortcut, width, scale = RESIDUALS[network, block]
    layers, _ = inventory.facts_of(network, aux_head=True)

    assert layers[block]["kind"] == "ReLU"
    assert layers[block]["inputs"] == [f"{block}_add"]
    assert layers[f"{block}_add"]["inputs"] == [shortcut, f"{block}_scale"]
    assert layers[f"{block}_scale"]["scale"] == scale
    assert layers[f"{block}_scale"]["inputs"] == [f"{block}_linear"]
    linear = layers[f"{block}_linear"]
    assert (linear["filters"], linear["kernel"], linear["bias"]) == (width, [1, 1], True)
    assert linear["inputs"] == [f"{block}_concat"]


# Figures 9 and 15: number of blocks per stage, pooled features, share dropped.
SCHEMAS = {
    V4: ("inception", (4, 7, 3), 1536),
    V1: ("inception_resnet", (5, 10, 5), 1792),
    V2: ("inception_resnet", (5, 10, 5), 2144),
}


@pytest.mark.parametrize("network", SCHEMAS)
def test_schema_of_network_equals_figures_9_and_15(network):
    prefix, repeats, pooled = SCHEMAS[network]
    layers, _ = inventory.facts_of(network, aux_head=True)
    for stage, count in zip("abc", repeats, strict=True):
        assert f"{prefix}_{stage}_{count}" in layers
        assert f"{prefix}_{stage}_{count + 1}" not in layers
    assert layers["pre_logits"]["kind"] == "GlobalAveragePooling2D"
    assert layers["pre_logits"]["output"] == [pooled]
    assert layers["dropout"]["rate"] == 0.2
    assert layers["logits"]["output"] == [1000]
    assert layers["predictions"]["activation"] == "softmax"


def branches(layers, block, source):
    """Every way from `source` to `block`, as words, in the order of its concat."""
    ends = (source, f"{source}_relu")
    node = layers.get(f"{block}_relu", layers[block])
    starts = node["inputs"] if node["kind"] == "Concatenate" else [_last(layers, block)]
    return [", ".join(_words(layers, start, ends)) for start in starts]


def _last(layers, block):
    return f"{block}_relu" if f"{block}_relu" in layers else block


def _words(layers, name, ends):
    """The boxes from `ends` to `name`; a conv box is convolution, batch norm and ReLU."""
    words = []
    while name not in ends:
        node = layers[name]
        if node["kind"] == "ReLU":
            norm = layers[node["inputs"][0]]
            assert norm["kind"] == "BatchNormalization"
            node = layers[norm["inputs"][0]]
            assert not node["bias"]
        words.insert(0, _word(node))
        (name,) = node["inputs"]
    return words


def _word(node):
    kinds = {"Conv2D": "", "MaxPooling2D": "max ", "AveragePooling2D": "avg "}
    text = kinds[node["kind"]] + "{}x{}".format(*node["kernel"])
    text += f" {node['filters']}" if "filters" in node else ""
    text += " /2" if node["strides"] == [2, 2] else ""
    return text + (" V" if node["padding"] == "valid" else "")
