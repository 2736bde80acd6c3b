"""The names TF-slim's checkpoints give to the weights of our networks.

Our convolution `x` has the variables `x/kernel` and `x_bn/beta, moving_mean,
moving_variance`; slim's scope `X` has `X/weights` and `X/BatchNorm/beta, ...`.
The tables below say which scope belongs to which convolution. Row order is
the order in which slim (and Keras, and timm) build the layers.
"""

NETWORKS = ("inception_v3", "inception_v4", "inception_resnet_v2_released")

_STEM_V3 = {
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

_V3_A = {
    "1x1": "Branch_0/Conv2d_0a_1x1",
    "short_1x1": "Branch_1/Conv2d_0a_1x1",
    "short_5x5": "Branch_1/Conv2d_0b_5x5",
    "long_1x1": "Branch_2/Conv2d_0a_1x1",
    "long_3x3_1": "Branch_2/Conv2d_0b_3x3",
    "long_3x3_2": "Branch_2/Conv2d_0c_3x3",
    "pool_1x1": "Branch_3/Conv2d_0b_1x1",
}
# Mixed_5c alone names its second branch like this.
_V3_A_5C = _V3_A | {
    "short_1x1": "Branch_1/Conv2d_0b_1x1",
    "short_5x5": "Branch_1/Conv_1_0c_5x5",
}
# Slim calls these 3x3 convolutions 1x1.
_V3_REDUCTION_A = {
    "short_3x3": "Branch_0/Conv2d_1a_1x1",
    "long_1x1": "Branch_1/Conv2d_0a_1x1",
    "long_3x3_1": "Branch_1/Conv2d_0b_3x3",
    "long_3x3_2": "Branch_1/Conv2d_1a_1x1",
}
_V3_B = {
    "1x1": "Branch_0/Conv2d_0a_1x1",
    "short_1x1": "Branch_1/Conv2d_0a_1x1",
    "short_1x7": "Branch_1/Conv2d_0b_1x7",
    "short_7x1": "Branch_1/Conv2d_0c_7x1",
    "long_1x1": "Branch_2/Conv2d_0a_1x1",
    "long_7x1_1": "Branch_2/Conv2d_0b_7x1",
    "long_1x7_1": "Branch_2/Conv2d_0c_1x7",
    "long_7x1_2": "Branch_2/Conv2d_0d_7x1",
    "long_1x7_2": "Branch_2/Conv2d_0e_1x7",
    "pool_1x1": "Branch_3/Conv2d_0b_1x1",
}
_V3_REDUCTION_B = {
    "short_1x1": "Branch_0/Conv2d_0a_1x1",
    "short_3x3": "Branch_0/Conv2d_1a_3x3",
    "long_1x1": "Branch_1/Conv2d_0a_1x1",
    "long_1x7": "Branch_1/Conv2d_0b_1x7",
    "long_7x1": "Branch_1/Conv2d_0c_7x1",
    "long_3x3": "Branch_1/Conv2d_1a_3x3",
}
_V3_C = {
    "1x1": "Branch_0/Conv2d_0a_1x1",
    "short_1x1": "Branch_1/Conv2d_0a_1x1",
    "short_1x3": "Branch_1/Conv2d_0b_1x3",
    "short_3x1": "Branch_1/Conv2d_0c_3x1",
    "long_1x1": "Branch_2/Conv2d_0a_1x1",
    "long_3x3": "Branch_2/Conv2d_0b_3x3",
    "long_1x3": "Branch_2/Conv2d_0c_1x3",
    "long_3x1": "Branch_2/Conv2d_0d_3x1",
    "pool_1x1": "Branch_3/Conv2d_0b_1x1",
}
# Mixed_7b has 0b twice, Mixed_7c does not.
_V3_C_7B = _V3_C | {"short_3x1": "Branch_1/Conv2d_0b_3x1"}

_V4_A = {
    "1x1": "Branch_0/Conv2d_0a_1x1",
    "short_1x1": "Branch_1/Conv2d_0a_1x1",
    "short_3x3": "Branch_1/Conv2d_0b_3x3",
    "long_1x1": "Branch_2/Conv2d_0a_1x1",
    "long_3x3_1": "Branch_2/Conv2d_0b_3x3",
    "long_3x3_2": "Branch_2/Conv2d_0c_3x3",
    "pool_1x1": "Branch_3/Conv2d_0b_1x1",
}
_REDUCTION_A = {
    "short_3x3": "Branch_0/Conv2d_1a_3x3",
    "long_1x1": "Branch_1/Conv2d_0a_1x1",
    "long_3x3_1": "Branch_1/Conv2d_0b_3x3",
    "long_3x3_2": "Branch_1/Conv2d_1a_3x3",
}
_V4_B = {
    "1x1": "Branch_0/Conv2d_0a_1x1",
    "short_1x1": "Branch_1/Conv2d_0a_1x1",
    "short_1x7": "Branch_1/Conv2d_0b_1x7",
    "short_7x1": "Branch_1/Conv2d_0c_7x1",
    "long_1x1": "Branch_2/Conv2d_0a_1x1",
    "long_7_1": "Branch_2/Conv2d_0b_7x1",
    "long_7_2": "Branch_2/Conv2d_0c_1x7",
    "long_7_3": "Branch_2/Conv2d_0d_7x1",
    "long_7_4": "Branch_2/Conv2d_0e_1x7",
    "pool_1x1": "Branch_3/Conv2d_0b_1x1",
}
_V4_REDUCTION_B = _V3_REDUCTION_B
_V4_C = {
    "1x1": "Branch_0/Conv2d_0a_1x1",
    "short_1x1": "Branch_1/Conv2d_0a_1x1",
    "short_1x3": "Branch_1/Conv2d_0b_1x3",
    "short_3x1": "Branch_1/Conv2d_0c_3x1",
    "long_1x1": "Branch_2/Conv2d_0a_1x1",
    "long_3_1": "Branch_2/Conv2d_0b_3x1",
    "long_3_2": "Branch_2/Conv2d_0c_1x3",
    "long_1x3": "Branch_2/Conv2d_0d_1x3",
    "long_3x1": "Branch_2/Conv2d_0e_3x1",
    "pool_1x1": "Branch_3/Conv2d_0b_1x1",
}

_MIXED_5B = _V3_A | {"1x1": "Branch_0/Conv2d_1x1"}
_BLOCK35 = {
    "1x1": "Branch_0/Conv2d_1x1",
    "short_1x1": "Branch_1/Conv2d_0a_1x1",
    "short_3x3": "Branch_1/Conv2d_0b_3x3",
    "long_1x1": "Branch_2/Conv2d_0a_1x1",
    "long_3x3_1": "Branch_2/Conv2d_0b_3x3",
    "long_3x3_2": "Branch_2/Conv2d_0c_3x3",
    "linear": "Conv2d_1x1",
}
_BLOCK17 = {
    "1x1": "Branch_0/Conv2d_1x1",
    "long_1x1": "Branch_1/Conv2d_0a_1x1",
    "long_1x7": "Branch_1/Conv2d_0b_1x7",
    "long_7x1": "Branch_1/Conv2d_0c_7x1",
    "linear": "Conv2d_1x1",
}
_MIXED_7A = {
    "wide_1x1": "Branch_0/Conv2d_0a_1x1",
    "wide_3x3": "Branch_0/Conv2d_1a_3x3",
    "short_1x1": "Branch_1/Conv2d_0a_1x1",
    "short_3x3": "Branch_1/Conv2d_1a_3x3",
    "long_1x1": "Branch_2/Conv2d_0a_1x1",
    "long_3x3_1": "Branch_2/Conv2d_0b_3x3",
    "long_3x3_2": "Branch_2/Conv2d_1a_3x3",
}
_BLOCK8 = {
    "1x1": "Branch_0/Conv2d_1x1",
    "long_1x1": "Branch_1/Conv2d_0a_1x1",
    "long_1x3": "Branch_1/Conv2d_0b_1x3",
    "long_3x1": "Branch_1/Conv2d_0c_3x1",
    "linear": "Conv2d_1x1",
}


def scopes(network, aux_head=True):
    """Our layer with a kernel -> slim's scope, in slim's order of building."""
    layers = {
        "inception_v3": _v3,
        "inception_v4": _v4,
        "inception_resnet_v2_released": _resnet_v2,
    }[network]()
    return {k: v for k, v in layers.items() if aux_head or not k.startswith("aux_")}


def names(network, aux_head=True):
    """Our variable path -> slim's variable name, for every weight of the network."""
    table = {}
    for layer, scope in scopes(network, aux_head).items():
        table[f"{layer}/kernel"] = f"{scope}/weights"
        if layer.endswith(("linear", "logits")):
            table[f"{layer}/bias"] = f"{scope}/biases"
            continue
        for variable in ("beta", "moving_mean", "moving_variance"):
            table[f"{layer}_bn/{variable}"] = f"{scope}/BatchNorm/{variable}"
    return table


def arrays(network, variables, aux_head=True):
    """Our variable path -> array, from slim's `variables` (name -> array)."""
    return {
        path: layout(path, variables[name])
        for path, name in names(network, aux_head).items()
    }


def stored_shape(network, path, shape):
    """Shape in slim's file of what has `shape` here; `layout` turns it back."""
    return (1, 1, *shape) if network == "inception_v3" and path.endswith("logits/kernel") else shape


def layout(path, array):
    """Inception-v3's classifiers are 1x1 convolutions in slim, dense layers here."""
    if path.endswith("logits/kernel") and array.ndim == 4:
        return array.reshape(array.shape[2:])
    return array


def _v3():
    layers = dict(_STEM_V3)
    layers |= _block("inception_a_1", "Mixed_5b", _V3_A)
    layers |= _block("inception_a_2", "Mixed_5c", _V3_A_5C)
    layers |= _block("inception_a_3", "Mixed_5d", _V3_A)
    layers |= _block("reduction_a", "Mixed_6a", _V3_REDUCTION_A)
    layers |= _blocks("inception_b", "Mixed_6", "bcde", _V3_B)
    layers |= _block("reduction_b", "Mixed_7a", _V3_REDUCTION_B)
    layers |= _block("inception_c_1", "Mixed_7b", _V3_C_7B)
    layers |= _block("inception_c_2", "Mixed_7c", _V3_C)
    layers |= {
        "aux_1x1": "AuxLogits/Conv2d_1b_1x1",
        "aux_5x5": "AuxLogits/Conv2d_2a_5x5",
        "aux_logits": "AuxLogits/Conv2d_2b_1x1",
        "logits": "Logits/Conv2d_1c_1x1",
    }
    return _prefixed("InceptionV3", layers)


def _v4():
    layers = dict(_STEM_V4)
    layers |= _blocks("inception_a", "Mixed_5", "bcde", _V4_A)
    layers |= _block("reduction_a", "Mixed_6a", _REDUCTION_A)
    layers |= _blocks("inception_b", "Mixed_6", "bcdefgh", _V4_B)
    layers |= _block("reduction_b", "Mixed_7a", _V4_REDUCTION_B)
    layers |= _blocks("inception_c", "Mixed_7", "bcd", _V4_C)
    layers |= {
        "aux_1x1": "AuxLogits/Conv2d_1b_1x1",
        "aux_5x5": "AuxLogits/Conv2d_2a",
        "aux_logits": "AuxLogits/Aux_logits",
        "logits": "Logits/Logits",
    }
    return _prefixed("InceptionV4", layers)


def _resnet_v2():
    layers = dict(_STEM_V3)
    layers |= _block("mixed_5b", "Mixed_5b", _MIXED_5B)
    layers |= _blocks("inception_resnet_a", "Repeat/block35_", range(1, 11), _BLOCK35)
    layers |= _block("reduction_a", "Mixed_6a", _REDUCTION_A)
    layers |= _blocks("inception_resnet_b", "Repeat_1/block17_", range(1, 21), _BLOCK17)
    layers |= _block("reduction_b", "Mixed_7a", _MIXED_7A)
    layers |= _blocks("inception_resnet_c", "Repeat_2/block8_", range(1, 10), _BLOCK8)
    layers |= _block("inception_resnet_c_10", "Block8", _BLOCK8)
    layers |= {
        "conv_7b": "Conv2d_7b_1x1",
        "aux_1x1": "AuxLogits/Conv2d_1b_1x1",
        "aux_5x5": "AuxLogits/Conv2d_2a_5x5",
        "aux_logits": "AuxLogits/Logits",
        "logits": "Logits/Logits",
    }
    return _prefixed("InceptionResnetV2", layers)


def _block(ours, theirs, rows):
    return {f"{ours}_{layer}": f"{theirs}/{scope}" for layer, scope in rows.items()}


def _blocks(ours, theirs, endings, rows):
    layers = {}
    for number, ending in enumerate(endings, start=1):
        layers |= _block(f"{ours}_{number}", f"{theirs}{ending}", rows)
    return layers


def _prefixed(root, layers):
    return {layer: f"{root}/{scope}" for layer, scope in layers.items()}
