"""The names TF-slim's checkpoints give to the weights of our networks.

Our convolution `x` has the variables `x/kernel` and `x_bn/beta, moving_mean,
moving_variance`; slim's scope `X` has `X/weights` and `X/BatchNorm/beta, ...`.
The tables below say which scope belongs to which convolution. Row order is
the order in which slim (and Keras, and timm) build the layers.
"""

from inception_tf.weights.readers import read_checkpoint
from inception_tf.weights.table import LEFT_BY_TRAINING, Table, block, blocks, tf1_variables

STEM_V3 = {
    "stem_1": "Conv2d_1a_3x3",
    "stem_2": "Conv2d_2a_3x3",
    "stem_3": "Conv2d_2b_3x3",
    "stem_5": "Conv2d_3b_1x1",
    "stem_6": "Conv2d_4a_3x3",
}
_STEM_V4 = {
    "stem_1": "Conv2d_1a_3x3",
    "stem_2": "Conv2d_2a_3x3",
    "stem_3": "Conv2d_2b_3x3",
    "stem_4_3x3": "Mixed_3a/Branch_1/Conv2d_0a_3x3",
    "stem_5_short_1x1": "Mixed_4a/Branch_0/Conv2d_0a_1x1",
    "stem_5_short_3x3": "Mixed_4a/Branch_0/Conv2d_1a_3x3",
    "stem_5_long_1x1": "Mixed_4a/Branch_1/Conv2d_0a_1x1",
    "stem_5_long_7_1": "Mixed_4a/Branch_1/Conv2d_0b_1x7",
    "stem_5_long_7_2": "Mixed_4a/Branch_1/Conv2d_0c_7x1",
    "stem_5_long_3x3": "Mixed_4a/Branch_1/Conv2d_1a_3x3",
    "stem_6_3x3": "Mixed_5a/Branch_0/Conv2d_1a_3x3",
}


def _branches(*branches):
    """Our layer -> scope in a block, of the branches in slim's order: layer -> kernel's scope."""
    return {layer: f"Branch_{number}/Conv2d_{scope}"
            for number, branch in enumerate(branches) for layer, scope in branch.items()}


_V3_A = _branches(
    {"1x1": "0a_1x1"},
    {"short_1x1": "0a_1x1", "short_5x5": "0b_5x5"},
    {"long_1x1": "0a_1x1", "long_3x3_1": "0b_3x3", "long_3x3_2": "0c_3x3"},
    {"pool_1x1": "0b_1x1"},
)
# Mixed_5c alone names its second branch like this.
_V3_A_5C = _V3_A | {
    "short_1x1": "Branch_1/Conv2d_0b_1x1",
    "short_5x5": "Branch_1/Conv_1_0c_5x5",
}
# Slim calls these 3x3 convolutions 1x1.
_V3_REDUCTION_A = _branches(
    {"short_3x3": "1a_1x1"},
    {"long_1x1": "0a_1x1", "long_3x3_1": "0b_3x3", "long_3x3_2": "1a_1x1"},
)
_V3_B = _branches(
    {"1x1": "0a_1x1"},
    {"short_1x1": "0a_1x1", "short_1x7": "0b_1x7", "short_7x1": "0c_7x1"},
    {"long_1x1": "0a_1x1", "long_7x1_1": "0b_7x1", "long_1x7_1": "0c_1x7",
     "long_7x1_2": "0d_7x1", "long_1x7_2": "0e_1x7"},
    {"pool_1x1": "0b_1x1"},
)
_REDUCTION_B = _branches(
    {"short_1x1": "0a_1x1", "short_3x3": "1a_3x3"},
    {"long_1x1": "0a_1x1", "long_1x7": "0b_1x7", "long_7x1": "0c_7x1", "long_3x3": "1a_3x3"},
)
_V3_C = _branches(
    {"1x1": "0a_1x1"},
    {"short_1x1": "0a_1x1", "short_1x3": "0b_1x3", "short_3x1": "0c_3x1"},
    {"long_1x1": "0a_1x1", "long_3x3": "0b_3x3", "long_1x3": "0c_1x3", "long_3x1": "0d_3x1"},
    {"pool_1x1": "0b_1x1"},
)
# Mixed_7b has 0b twice, Mixed_7c does not.
_V3_C_7B = _V3_C | {"short_3x1": "Branch_1/Conv2d_0b_3x1"}

_V4_A = _branches(
    {"1x1": "0a_1x1"},
    {"short_1x1": "0a_1x1", "short_3x3": "0b_3x3"},
    {"long_1x1": "0a_1x1", "long_3x3_1": "0b_3x3", "long_3x3_2": "0c_3x3"},
    {"pool_1x1": "0b_1x1"},
)
REDUCTION_A = _branches(
    {"short_3x3": "1a_3x3"},
    {"long_1x1": "0a_1x1", "long_3x3_1": "0b_3x3", "long_3x3_2": "1a_3x3"},
)
_V4_B = _branches(
    {"1x1": "0a_1x1"},
    {"short_1x1": "0a_1x1", "short_1x7": "0b_1x7", "short_7x1": "0c_7x1"},
    {"long_1x1": "0a_1x1", "long_7_1": "0b_7x1", "long_7_2": "0c_1x7", "long_7_3": "0d_7x1",
     "long_7_4": "0e_1x7"},
    {"pool_1x1": "0b_1x1"},
)
_V4_C = _branches(
    {"1x1": "0a_1x1"},
    {"short_1x1": "0a_1x1", "short_1x3": "0b_1x3", "short_3x1": "0c_3x1"},
    {"long_1x1": "0a_1x1", "long_3_1": "0b_3x1", "long_3_2": "0c_1x3", "long_1x3": "0d_1x3",
     "long_3x1": "0e_3x1"},
    {"pool_1x1": "0b_1x1"},
)

_MIXED_5B = _V3_A | {"1x1": "Branch_0/Conv2d_1x1"}
BLOCK35 = _branches(
    {"1x1": "1x1"},
    {"short_1x1": "0a_1x1", "short_3x3": "0b_3x3"},
    {"long_1x1": "0a_1x1", "long_3x3_1": "0b_3x3", "long_3x3_2": "0c_3x3"},
) | {"linear": "Conv2d_1x1"}
BLOCK17 = _branches(
    {"1x1": "1x1"},
    {"long_1x1": "0a_1x1", "long_1x7": "0b_1x7", "long_7x1": "0c_7x1"},
) | {"linear": "Conv2d_1x1"}
MIXED_7A = _branches(
    {"wide_1x1": "0a_1x1", "wide_3x3": "1a_3x3"},
    {"short_1x1": "0a_1x1", "short_3x3": "1a_3x3"},
    {"long_1x1": "0a_1x1", "long_3x3_1": "0b_3x3", "long_3x3_2": "1a_3x3"},
)
BLOCK8 = _branches(
    {"1x1": "1x1"},
    {"long_1x1": "0a_1x1", "long_1x3": "0b_1x3", "long_3x1": "0c_3x1"},
) | {"linear": "Conv2d_1x1"}


def scopes(network: str) -> dict[str, str]:
    """Our layer with a kernel -> slim's scope, in slim's order of building."""
    root, layers = {
        "inception_v3": ("InceptionV3", _v3),
        "inception_v4": ("InceptionV4", _v4),
        "inception_resnet_v2_released": ("InceptionResnetV2", _resnet_v2),
    }[network]
    return {layer: f"{root}/{scope}" for layer, scope in layers().items()}


def _v3():
    layers = dict(STEM_V3)
    layers |= block("inception_a_1", "Mixed_5b/", _V3_A)
    layers |= block("inception_a_2", "Mixed_5c/", _V3_A_5C)
    layers |= block("inception_a_3", "Mixed_5d/", _V3_A)
    layers |= block("reduction_a", "Mixed_6a/", _V3_REDUCTION_A)
    layers |= blocks("inception_b", "Mixed_6{}/", "bcde", _V3_B)
    layers |= block("reduction_b", "Mixed_7a/", _REDUCTION_B)
    layers |= block("inception_c_1", "Mixed_7b/", _V3_C_7B)
    layers |= block("inception_c_2", "Mixed_7c/", _V3_C)
    return layers | {
        "aux_1x1": "AuxLogits/Conv2d_1b_1x1",
        "aux_5x5": "AuxLogits/Conv2d_2a_5x5",
        "aux_logits": "AuxLogits/Conv2d_2b_1x1",
        "logits": "Logits/Conv2d_1c_1x1",
    }


def _v4():
    layers = dict(_STEM_V4)
    layers |= blocks("inception_a", "Mixed_5{}/", "bcde", _V4_A)
    layers |= block("reduction_a", "Mixed_6a/", REDUCTION_A)
    layers |= blocks("inception_b", "Mixed_6{}/", "bcdefgh", _V4_B)
    layers |= block("reduction_b", "Mixed_7a/", _REDUCTION_B)
    layers |= blocks("inception_c", "Mixed_7{}/", "bcd", _V4_C)
    return layers | {
        "aux_1x1": "AuxLogits/Conv2d_1b_1x1",
        "aux_5x5": "AuxLogits/Conv2d_2a",
        "aux_logits": "AuxLogits/Aux_logits",
        "logits": "Logits/Logits",
    }


def _resnet_v2():
    layers = dict(STEM_V3)
    layers |= block("mixed_5b", "Mixed_5b/", _MIXED_5B)
    layers |= blocks("inception_resnet_a", "Repeat/block35_{}/", range(1, 11), BLOCK35)
    layers |= block("reduction_a", "Mixed_6a/", REDUCTION_A)
    layers |= blocks("inception_resnet_b", "Repeat_1/block17_{}/", range(1, 21), BLOCK17)
    layers |= block("reduction_b", "Mixed_7a/", MIXED_7A)
    layers |= blocks("inception_resnet_c", "Repeat_2/block8_{}/", range(1, 10), BLOCK8)
    layers |= block("inception_resnet_c_10", "Block8/", BLOCK8)
    layers |= {
        "conv_7b": "Conv2d_7b_1x1",
        "aux_1x1": "AuxLogits/Conv2d_1b_1x1",
        "aux_5x5": "AuxLogits/Conv2d_2a_5x5",
        "aux_logits": "AuxLogits/Logits",
        "logits": "Logits/Logits",
    }
    return layers


def _stored_shape(network, path, shape):
    return (1, 1, *shape) if network == "inception_v3" and path.endswith("logits/kernel") else shape


def _layout(path, array):
    """Inception-v3's classifiers are 1x1 convolutions in slim, dense layers here."""
    if path.endswith("logits/kernel") and array.ndim == 4:
        return array.reshape(array.shape[2:])
    return array


# TF-slim's inception_preprocessing, in TF1's resize.
_PREPROCESSING = {"crop_fraction": 0.875, "interpolation": "bilinear", "pixel_centers": "corner"}

TABLE = Table(
    networks=dict.fromkeys(
        ("inception_v3", "inception_v4", "inception_resnet_v2_released"), _PREPROCESSING),
    read=read_checkpoint,
    names=lambda network, _stored: tf1_variables(scopes(network)),
    ignored=LEFT_BY_TRAINING,
    stored_shape=_stored_shape,
    layout=_layout,
)
