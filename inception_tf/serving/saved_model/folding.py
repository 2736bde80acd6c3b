"""A network for inference only: batch norm and scales folded into kernels, dropout left out.

At inference batch norm is y = a x + b per channel with constants a and b, and so is the
scale of a residual (Figure 20). After a convolution either one is part of its kernel and
bias: conv(x, W) a + b = conv(x, W a) + b.

Only public functions of Keras are used, so any functional model will do, also one from
somebody else's `.keras` file.
"""

import dataclasses

import keras
import numpy as np

# Their last kernel axis counts the output channels, which their bias and batch norm share.
FOLDABLE = (keras.layers.Conv2D, keras.layers.Dense)


@dataclasses.dataclass
class Affine:
    """What is applied to a layer's output, per channel in float64: y = factor x + offset."""

    factor: np.ndarray
    offset: np.ndarray

    def then(self, other: "Affine") -> "Affine":
        """This one followed by `other`."""
        return Affine(self.factor * other.factor, self.offset * other.factor + other.offset)


def folded(model: keras.Model) -> keras.Model:
    """`model` with batch norm and constant scales folded into convolutions and dense layers.

    Batch norm that does not directly follow such a layer, or is not its only reader, stays.
    Outputs differ from model(x, training=False) by rounding only; no weights are shared.

    Raises: ValueError for a model that is not functional.
    """
    affines, absorbed, _ = what_folds(model)
    # clone_model keeps names, so layers are matched by name.
    skipped = absorbed | {layer.name for layer in model.layers
                          if isinstance(layer, keras.layers.Dropout)}

    def clone(layer):
        settings = layer.get_config()
        if layer.name in affines:
            settings["use_bias"] = True
        if isinstance(layer, FOLDABLE):
            settings["kernel_initializer"] = "zeros"  # random ones, replaced below, take seconds
        return layer.__class__.from_config(settings)

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in skipped else layer(*args, **kwargs)

    network = keras.models.clone_model(model, clone_function=clone, call_function=call)
    originals = {layer.name: layer for layer in model.layers}
    for layer in (layer for layer in network.layers if layer.weights):
        layer.set_weights(folded_weights(originals[layer.name], affines.get(layer.name)))
    network.trainable = False
    return network


def what_folds(model: keras.Model) -> tuple[dict[str, Affine], set[str], dict[str, str]]:
    """What convolutions and dense layers absorb.

    Returns: (layer name -> the Affine that goes into it, names of the layers that it
    replaces, layer name -> name of the ReLU that alone reads what comes out).
    """
    readers = _readers(model)
    affines: dict[str, Affine] = {}
    absorbed: set[str] = set()
    rectified: dict[str, str] = {}
    for layer in model.layers:
        if not isinstance(layer, FOLDABLE) or not is_linear(layer):
            continue
        follower = _only_reader(layer, readers)
        while follower is not None and (affine := _affine_of(follower, layer)) is not None:
            known = affines.get(layer.name)
            affines[layer.name] = affine if known is None else known.then(affine)
            absorbed.add(follower.name)
            follower = _only_reader(follower, readers)
        if _is_relu(follower):
            rectified[layer.name] = follower.name
    return affines, absorbed, rectified


def _readers(model):
    """id of a tensor -> layers that read it; the model's own outputs are read by None."""
    readers = {id(tensor): [None] for tensor in keras.tree.flatten(model.outputs)}
    for layer in model.layers:
        for tensor in keras.tree.flatten(_tensors(layer, "input")):
            readers.setdefault(id(tensor), []).append(layer)
    return readers


def _tensors(layer, side):
    """Inputs or outputs of a layer; nothing when it is used several times, or not at all."""
    try:
        return getattr(layer, side)
    except (AttributeError, ValueError):
        return ()


def _only_reader(layer, readers):
    found = readers.get(id(_tensors(layer, "output")), [])
    return found[0] if len(found) == 1 else None


def is_linear(layer: keras.Layer) -> bool:
    """Whether a FOLDABLE layer, channels last, has no activation of its own."""
    channels_first = getattr(layer, "data_format", None) == "channels_first"
    return layer.activation is keras.activations.linear and not channels_first


def _is_relu(layer):
    if isinstance(layer, keras.layers.ReLU):
        return layer.max_value is None and not layer.negative_slope and not layer.threshold
    return isinstance(layer, keras.layers.Activation) and (
        layer.activation is keras.activations.relu)


def _affine_of(layer, source):
    """The Affine that `layer` applies to the channels of `source`; None if it is another thing."""
    channels = source.kernel.shape[-1]
    if isinstance(layer, keras.layers.Rescaling) and np.size(layer.scale) == 1:
        return Affine(np.full(channels, float(layer.scale)),
                      np.full(channels, np.broadcast_to(layer.offset, ()), np.float64))
    if not isinstance(layer, keras.layers.BatchNormalization):
        return None
    if layer.axis not in (-1, len(source.output.shape) - 1):
        return None
    mean, variance = _float64(layer.moving_mean), _float64(layer.moving_variance)
    factor = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        factor = factor * _float64(layer.gamma)
    offset = -mean * factor
    return Affine(factor, offset + _float64(layer.beta) if layer.center else offset)


def folded_weights(layer: keras.Layer, affine: Affine | None) -> list[np.ndarray]:
    """[kernel, bias] of `layer` with `affine` in them; its own weights when that is None."""
    if affine is None:
        return layer.get_weights()
    kernel = _float64(layer.kernel) * affine.factor
    bias = _float64(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1])
    bias = bias * affine.factor + affine.offset
    return [kernel.astype(np.float32), bias.astype(np.float32)]


def _float64(variable):
    return keras.ops.convert_to_numpy(variable).astype(np.float64)
