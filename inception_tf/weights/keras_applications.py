"""Weights of keras.applications' InceptionV3 and InceptionResNetV2 in our networks.

Keras leaves most of its layers without a name of their own: `conv2d`, `conv2d_1`,
..., counted through the whole session. Their order is the order of construction,
which is TF-slim's; so the n-th numbered convolution and the n-th numbered batch norm
belong to the n-th convolution of ours that Keras does not name.
"""

import re

from inception_tf.weights import slim

NETWORKS = ("inception_v3", "inception_resnet_v2_released")


# Stage of ours, Keras' name for its blocks, their number.
RESIDUAL_STAGES = (("a", "block35", 10), ("b", "block17", 20), ("c", "block8", 10))


def named_layers(network):
    """Our layer -> Keras' layer, for the convolutions and the dense layer Keras names."""
    layers = {"logits": "predictions"}
    if network == "inception_resnet_v2_released":
        layers["conv_7b"] = "conv_7b"
        for stage, theirs, count in RESIDUAL_STAGES:
            for number in range(1, count + 1):
                layers[f"inception_resnet_{stage}_{number}_linear"] = f"{theirs}_{number}_conv"
    return layers


def numbered_layers(network):
    """Our convolutions that Keras only numbers, in its order."""
    named = named_layers(network)
    return [layer for layer in slim.scopes(network, aux_head=False) if layer not in named]


def names(network, stored=()):
    """Our variable path -> "layer/variable" in Keras, for every weight of the network.

    `stored` are the arrays of the file at hand: they say where its numbering starts
    ("conv2d" in a fresh session of Keras 3, "conv2d_1" in Keras 2, any number later on), and how
    its classifier is called.
    """
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
    """Name of the dense layer: Keras' own, or the only one, of whoever put it on a network."""
    kernels = [name for name in stored if name.endswith("/kernel") and len(stored[name].shape) == 2]
    if len(kernels) == 1 and f"{usual}/kernel" not in stored:
        return kernels[0].removesuffix("/kernel")
    return usual


def stored_shape(_network, _path, shape):
    """Keras has the shapes that we have."""
    return shape


def layout(_path, array):
    """Keras has the order of axes that we have."""
    return array


def _counted(kind, layers, count):
    """The `count` names that Keras gives to layers of `kind`, from the first in `layers`."""
    first = min(_by_number(dict.fromkeys(layers), kind), default=0)
    return [f"{kind}_{i}" if i else kind for i in range(first, first + count)]


def arrays(network, model):
    """Our variable path -> array, from a keras.applications `model` with its top."""
    by_name = {layer.name: layer for layer in model.layers}
    pairs = {ours: by_name[theirs] for ours, theirs in named_layers(network).items()}
    if "conv_7b" in pairs:
        pairs["conv_7b_bn"] = by_name["conv_7b_bn"]
    order = numbered_layers(network)
    pairs |= zip(order, _numbered(by_name, "conv2d"), strict=True)
    norms = _numbered(by_name, "batch_normalization")
    pairs |= zip([f"{layer}_bn" for layer in order], norms, strict=True)
    return {
        f"{ours}/{weight.name}": weight.numpy()
        for ours, layer in pairs.items()
        for weight in layer.weights
    }


def _numbered(by_name, kind):
    """Layers called `kind` or `kind`_<number>, in the order they were made."""
    found = _by_number(by_name, kind)
    return [found[number] for number in sorted(found)]


def _by_number(by_name, kind):
    found = {}
    for name, layer in by_name.items():
        match = re.fullmatch(rf"{kind}(?:_(\d+))?", name)
        if match:
            found[int(match[1] or 0)] = layer
    return found
