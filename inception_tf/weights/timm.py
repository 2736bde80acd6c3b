"""The names timm's state dicts give to the weights of our networks.

timm's batch norm has a learned scale (ours: `batch_norm_gamma=True`). Inception-v3 is
torchvision's; only there an auxiliary head is known (inception_v3.tv_in1k).
"""

from inception_tf.weights.readers import read_state_dict
from inception_tf.weights.table import (
    LEFT_BY_TORCH,
    Table,
    block,
    blocks,
    torch_layout,
    torch_shape,
    torch_variables,
)
from inception_tf.weights.torchvision import OPTIONS, inception_v3

_CLASSIFIERS = ("last_linear", "classif", "fc")

_STEM_V4 = {
    "stem_1": "features.0",
    "stem_2": "features.1",
    "stem_3": "features.2",
    "stem_4_3x3": "features.3.conv",
    "stem_5_short_1x1": "features.4.branch0.0",
    "stem_5_short_3x3": "features.4.branch0.1",
    "stem_5_long_1x1": "features.4.branch1.0",
    "stem_5_long_7_1": "features.4.branch1.1",
    "stem_5_long_7_2": "features.4.branch1.2",
    "stem_5_long_3x3": "features.4.branch1.3",
    "stem_6_3x3": "features.5.conv",
}


def _branches(*branches):
    """Our layer -> module in a block, of the branches in timm's order; None: no weights there."""
    return {layer: f"branch{number}.{place}" if len(branch) > 1 else f"branch{number}"
            for number, branch in enumerate(branches)
            for place, layer in enumerate(branch) if layer}


_V4_A = _branches(
    ["1x1"], ["short_1x1", "short_3x3"], ["long_1x1", "long_3x3_1", "long_3x3_2"],
    [None, "pool_1x1"])
REDUCTION_A = _branches(["short_3x3"], ["long_1x1", "long_3x3_1", "long_3x3_2"])
_V4_B = _branches(
    ["1x1"], ["short_1x1", "short_1x7", "short_7x1"],
    ["long_1x1", "long_7_1", "long_7_2", "long_7_3", "long_7_4"], [None, "pool_1x1"])
_V4_REDUCTION_B = _branches(
    ["short_1x1", "short_3x3"], ["long_1x1", "long_1x7", "long_7x1", "long_3x3"])
_V4_C = {
    "1x1": "branch0",
    "short_1x1": "branch1_0",
    "short_1x3": "branch1_1a",
    "short_3x1": "branch1_1b",
    "long_1x1": "branch2_0",
    "long_3_1": "branch2_1",
    "long_3_2": "branch2_2",
    "long_1x3": "branch2_3a",
    "long_3x1": "branch2_3b",
    "pool_1x1": "branch3.1",
}

STEM_V3 = {
    "stem_1": "conv2d_1a",
    "stem_2": "conv2d_2a",
    "stem_3": "conv2d_2b",
    "stem_5": "conv2d_3b",
    "stem_6": "conv2d_4a",
}
_MIXED_5B = _branches(
    ["1x1"], ["short_1x1", "short_5x5"], ["long_1x1", "long_3x3_1", "long_3x3_2"],
    [None, "pool_1x1"])
BLOCK35 = _branches(
    ["1x1"], ["short_1x1", "short_3x3"], ["long_1x1", "long_3x3_1", "long_3x3_2"],
) | {"linear": "conv2d"}
BLOCK17 = _branches(["1x1"], ["long_1x1", "long_1x7", "long_7x1"]) | {"linear": "conv2d"}
MIXED_7A = _branches(
    ["wide_1x1", "wide_3x3"], ["short_1x1", "short_3x3"], ["long_1x1", "long_3x3_1", "long_3x3_2"])
BLOCK8 = _branches(["1x1"], ["long_1x1", "long_1x3", "long_3x1"]) | {"linear": "conv2d"}


def _names(network, stored):
    """timm and Cadene name the classifier differently."""
    modules = {"inception_v3": inception_v3, "inception_v4": _v4,
               "inception_resnet_v2_released": _resnet_v2}[network]()
    called = [name for name in _CLASSIFIERS if f"{name}.weight" in stored]
    if len(called) == 1:
        modules["logits"] = called[0]
    return torch_variables(modules)


def _v4():
    layers = dict(_STEM_V4)
    layers |= blocks("inception_a", "features.{}.", range(6, 10), _V4_A)
    layers |= block("reduction_a", "features.10.", REDUCTION_A)
    layers |= blocks("inception_b", "features.{}.", range(11, 18), _V4_B)
    layers |= block("reduction_b", "features.18.", _V4_REDUCTION_B)
    layers |= blocks("inception_c", "features.{}.", range(19, 22), _V4_C)
    return layers | {"logits": "last_linear"}


def _resnet_v2():
    layers = dict(STEM_V3)
    layers |= block("mixed_5b", "mixed_5b.", _MIXED_5B)
    layers |= blocks("inception_resnet_a", "repeat.{}.", range(10), BLOCK35)
    layers |= block("reduction_a", "mixed_6a.", REDUCTION_A)
    layers |= blocks("inception_resnet_b", "repeat_1.{}.", range(20), BLOCK17)
    layers |= block("reduction_b", "mixed_7a.", MIXED_7A)
    layers |= blocks("inception_resnet_c", "repeat_2.{}.", range(9), BLOCK8)
    layers |= block("inception_resnet_c_10", "block8.", BLOCK8)
    return layers | {"conv_7b": "conv2d_7b", "logits": "classif"}


# timm's default_cfg of each model; PIL low-passes before shrinking.
_RESIZE = {"interpolation": "bicubic", "pixel_centers": "half", "antialias": True}

TABLE = Table(
    networks={
        "inception_v3": {"crop_fraction": 0.875, **_RESIZE},
        "inception_v4": {"crop_fraction": 0.875, **_RESIZE},
        "inception_resnet_v2_released": {"crop_fraction": 0.8975, **_RESIZE},
    },
    read=read_state_dict,
    names=_names,
    ignored=LEFT_BY_TORCH,
    stored_shape=torch_shape,
    layout=torch_layout,
    options=OPTIONS,
)
