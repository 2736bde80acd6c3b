"""Weights of keras.applications' InceptionV3 and InceptionResNetV2 in our networks.

Keras leaves most of its layers without a name of their own: `conv2d`, `conv2d_1`,
..., counted through the whole session. Their order is the order of construction,
which is TF-slim's; so the n-th numbered convolution and the n-th numbered batch norm
belong to our n-th convolution that Keras does not name.
"""

import re

from inception_tf.weights import slim
from inception_tf.weights.readers import read_keras
from inception_tf.weights.table import Table

# Our block, that of Keras, their number.
_RESIDUAL_BLOCKS = (("a", "block35", 10), ("b", "block17", 20), ("c", "block8", 10))


def named_layers(network: str) -> dict[str, str]:
    """Our layer -> Keras' layer, for the convolutions and the dense layer Keras names."""
    layers = {"logits": "predictions"}
    if network == "inception_resnet_v2_released":
        layers["conv_7b"] = "conv_7b"
        for ours, theirs, count in _RESIDUAL_BLOCKS:
            for number in range(1, count + 1):
                layers[f"inception_resnet_{ours}_{number}_linear"] = f"{theirs}_{number}_conv"
    return layers


def numbered_layers(network: str) -> list[str]:
    """Our convolutions that Keras only numbers, in its order; it has no auxiliary head."""
    named = named_layers(network)
    return [layer for layer in slim.scopes(network)
            if layer not in named and not layer.startswith("aux_")]


def _names(network, stored):
    """A fresh session starts at "conv2d" in Keras 3, at "conv2d_1" in Keras 2, others anywhere."""
    layers = named_layers(network)
    layers["logits"] = _classifier(stored, layers["logits"])
    norms = {"conv_7b": "conv_7b_bn"} if "conv_7b" in layers else {}
    order = numbered_layers(network)
    stored_layers = {name.split("/")[0] for name in stored}
    layers |= zip(order, _counted("conv2d", stored_layers, len(order)), strict=True)
    counted = _counted("batch_normalization", stored_layers, len(order))
    norms |= zip(order, counted, strict=True)
    table = {}
    for layer, theirs in layers.items():
        table[f"{layer}/kernel"] = f"{theirs}/kernel"
        if layer not in norms:
            table[f"{layer}/bias"] = f"{theirs}/bias"
            continue
        for variable in ("beta", "moving_mean", "moving_variance"):
            table[f"{layer}_bn/{variable}"] = f"{norms[layer]}/{variable}"
    return table


def _classifier(stored, usual):
    """Name of the dense layer: Keras' own, or the only one, if the user added it."""
    kernels = [name for name in stored if name.endswith("/kernel") and len(stored[name].shape) == 2]
    if len(kernels) == 1 and f"{usual}/kernel" not in stored:
        return kernels[0].removesuffix("/kernel")
    return usual


def _counted(kind, layers, count):
    """The `count` names that Keras gives to layers of `kind`, from the first in `layers`."""
    matches = [re.fullmatch(rf"{kind}(?:_(\d+))?", name) for name in layers]
    first = min((int(match[1] or 0) for match in matches if match), default=0)
    return [f"{kind}_{i}" if i else kind for i in range(first, first + count)]


# keras.applications crops nothing: images are loaded with target_size=(299, 299).
_PREPROCESSING = {"crop_fraction": 1.0, "interpolation": "bilinear", "pixel_centers": "half"}

TABLE = Table(
    networks=dict.fromkeys(("inception_v3", "inception_resnet_v2_released"), _PREPROCESSING),
    read=read_keras,
    names=_names,
    ignored={r"optimizer.*": "state of the optimizer"},
)
