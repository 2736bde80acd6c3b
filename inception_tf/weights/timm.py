"""The names timm's state dicts give to the weights of our networks.

timm's batch norm has a learned scale (ours: `batch_norm_gamma=True`) and no auxiliary
head; kernels are [out, in, height, width], dense kernels [out, in].
"""

from inception_tf.weights.readers import read_state_dict
from inception_tf.weights.table import AVERAGE, Table, block, blocks

_CLASSIFIERS = ("last_linear", "classif")

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
_REDUCTION_A = _branches(["short_3x3"], ["long_1x1", "long_3x3_1", "long_3x3_2"])
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

_STEM_V3 = {
    "stem_1": "conv2d_1a",
    "stem_2": "conv2d_2a",
    "stem_3": "conv2d_2b",
    "stem_5": "conv2d_3b",
    "stem_6": "conv2d_4a",
}
_MIXED_5B = _branches(
    ["1x1"], ["short_1x1", "short_5x5"], ["long_1x1", "long_3x3_1", "long_3x3_2"],
    [None, "pool_1x1"])
_BLOCK35 = _branches(
    ["1x1"], ["short_1x1", "short_3x3"], ["long_1x1", "long_3x3_1", "long_3x3_2"],
) | {"linear": "conv2d"}
_BLOCK17 = _branches(["1x1"], ["long_1x1", "long_1x7", "long_7x1"]) | {"linear": "conv2d"}
_MIXED_7A = _branches(
    ["wide_1x1", "wide_3x3"], ["short_1x1", "short_3x3"], ["long_1x1", "long_3x3_1", "long_3x3_2"])
_BLOCK8 = _branches(["1x1"], ["long_1x1", "long_1x3", "long_3x1"]) | {"linear": "conv2d"}


def _names(network, stored):
    """timm and Cadene name the classifier differently."""
    layers = {"inception_v4": _v4, "inception_resnet_v2_released": _resnet_v2}[network]()
    called = [name for name in _CLASSIFIERS if f"{name}.weight" in stored]
    if len(called) == 1:
        layers["logits"] = called[0]
    table = {}
    for layer, module in layers.items():
        if layer.endswith(("linear", "logits")):
            table[f"{layer}/kernel"] = f"{module}.weight"
            table[f"{layer}/bias"] = f"{module}.bias"
            continue
        table[f"{layer}/kernel"] = f"{module}.conv.weight"
        table[f"{layer}_bn/gamma"] = f"{module}.bn.weight"
        table[f"{layer}_bn/beta"] = f"{module}.bn.bias"
        table[f"{layer}_bn/moving_mean"] = f"{module}.bn.running_mean"
        table[f"{layer}_bn/moving_variance"] = f"{module}.bn.running_var"
    return table


def _stored_shape(_network, _path, shape):
    if len(shape) == 4:
        return (shape[3], shape[2], *shape[:2])
    return shape[::-1]


def _layout(_path, array):
    """torch's [out, in, height, width] or [out, in] as Keras has it."""
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T


def _v4():
    layers = dict(_STEM_V4)
    layers |= blocks("inception_a", "features.{}.", range(6, 10), _V4_A)
    layers |= block("reduction_a", "features.10.", _REDUCTION_A)
    layers |= blocks("inception_b", "features.{}.", range(11, 18), _V4_B)
    layers |= block("reduction_b", "features.18.", _V4_REDUCTION_B)
    layers |= blocks("inception_c", "features.{}.", range(19, 22), _V4_C)
    return layers | {"logits": "last_linear"}


def _resnet_v2():
    layers = dict(_STEM_V3)
    layers |= block("mixed_5b", "mixed_5b.", _MIXED_5B)
    layers |= blocks("inception_resnet_a", "repeat.{}.", range(10), _BLOCK35)
    layers |= block("reduction_a", "mixed_6a.", _REDUCTION_A)
    layers |= blocks("inception_resnet_b", "repeat_1.{}.", range(20), _BLOCK17)
    layers |= block("reduction_b", "mixed_7a.", _MIXED_7A)
    layers |= blocks("inception_resnet_c", "repeat_2.{}.", range(9), _BLOCK8)
    layers |= block("inception_resnet_c_10", "block8.", _BLOCK8)
    return layers | {"conv_7b": "conv2d_7b", "logits": "classif"}


# timm's default_cfg of each model; PIL low-passes before shrinking.
_RESIZE = {"interpolation": "bicubic", "pixel_centers": "half", "antialias": True}

TABLE = Table(
    networks={
        "inception_v4": {"crop_fraction": 0.875, **_RESIZE},
        "inception_resnet_v2_released": {"crop_fraction": 0.8975, **_RESIZE},
    },
    read=read_state_dict,
    names=_names,
    ignored={
        r".+\.num_batches_tracked(?:/ExponentialMovingAverage)?": "counter of torch's batch norm",
        r"n_averaged(?:/ExponentialMovingAverage)?": "counter of torch's averaging",
        AVERAGE.format("(.+)"): "moving average; the weights themselves are taken",
    },
    stored_shape=_stored_shape,
    layout=_layout,
)
