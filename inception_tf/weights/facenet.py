"""The names facenet's checkpoints give to the weights of its Inception-ResNet-v1.

Written from the scopes of davidsandberg/facenet's `inception_resnet_v1.py`; as in TF-slim
a scope `X` has `X/weights` and `X/BatchNorm/beta, moving_mean, moving_variance`.
"""

NETWORKS = ("inception_resnet_v1",)

_STEM = {
    "stem_1": "Conv2d_1a_3x3",
    "stem_2": "Conv2d_2a_3x3",
    "stem_3": "Conv2d_2b_3x3",
    "stem_5": "Conv2d_3b_1x1",
    "stem_6": "Conv2d_4a_3x3",
    "stem": "Conv2d_4b_3x3",
}
_BLOCK35 = {
    "1x1": "Branch_0/Conv2d_1x1",
    "short_1x1": "Branch_1/Conv2d_0a_1x1",
    "short_3x3": "Branch_1/Conv2d_0b_3x3",
    "long_1x1": "Branch_2/Conv2d_0a_1x1",
    "long_3x3_1": "Branch_2/Conv2d_0b_3x3",
    "long_3x3_2": "Branch_2/Conv2d_0c_3x3",
    "linear": "Conv2d_1x1",
}
_MIXED_6A = {
    "short_3x3": "Branch_0/Conv2d_1a_3x3",
    "long_1x1": "Branch_1/Conv2d_0a_1x1",
    "long_3x3_1": "Branch_1/Conv2d_0b_3x3",
    "long_3x3_2": "Branch_1/Conv2d_1a_3x3",
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


def scopes():
    """Our layer with a kernel -> facenet's scope, in facenet's order of building."""
    blocks = [("reduction_a", "Mixed_6a", _MIXED_6A), ("reduction_b", "Mixed_7a", _MIXED_7A)]
    blocks += [(f"inception_resnet_a_{i}", f"Repeat/block35_{i}", _BLOCK35) for i in range(1, 6)]
    blocks += [(f"inception_resnet_b_{i}", f"Repeat_1/block17_{i}", _BLOCK17)
               for i in range(1, 11)]
    blocks += [(f"inception_resnet_c_{i}", f"Repeat_2/block8_{i}", _BLOCK8) for i in range(1, 6)]
    blocks += [("inception_resnet_c_6", "Block8", _BLOCK8)]
    layers = _STEM | {"bottleneck": "Bottleneck"}
    for ours, theirs, rows in blocks:
        layers |= {f"{ours}_{layer}": f"{theirs}/{scope}" for layer, scope in rows.items()}
    return {layer: f"InceptionResnetV1/{scope}" for layer, scope in layers.items()}


def names(_network, _stored=()):
    """Our variable path -> facenet's variable name, for every weight of the network."""
    table = {}
    for layer, scope in scopes().items():
        table[f"{layer}/kernel"] = f"{scope}/weights"
        if layer.endswith("linear"):
            table[f"{layer}/bias"] = f"{scope}/biases"
            continue
        for variable in ("beta", "moving_mean", "moving_variance"):
            table[f"{layer}_bn/{variable}"] = f"{scope}/BatchNorm/{variable}"
    return table


def stored_shape(_network, _path, shape):
    """facenet has the shapes that we have."""
    return shape


def layout(_path, array):
    """facenet has the order of axes that we have."""
    return array
