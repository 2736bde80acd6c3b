"""What a network is made of: parameters, multiply-adds, parts, receptive fields.

Every function takes a built keras.Model: the counts any functional model of stock
layers, the rest one with our endpoint names.
"""

import dataclasses
import math
from typing import NamedTuple

import keras

from inception_tf.nets.assembly import IMAGE_SIZE
from inception_tf.nets.endpoints import endpoints


class Parameters(NamedTuple):
    """Numbers in a network: those training changes, and all of them."""

    trainable: int
    total: int


@dataclasses.dataclass(frozen=True)
class Part:
    """The layers between one endpoint and the ones before it.

    Attributes:
        name: of the endpoint.
        shape: of its output, without the batch.
        parameters: of its layers.
        multiply_adds: of its layers, per image.
        receptive_field: height and width in pixels of the input that one cell of the
            output depends on (it may reach over the border); None where it is all.
        strides: vertical and horizontal pixels between two cells; None likewise.
    """

    name: str
    shape: tuple[int, ...]
    parameters: Parameters
    multiply_adds: int
    receptive_field: tuple[int, int] | None
    strides: tuple[int, int] | None


def parameters(model: keras.Model | keras.Layer) -> Parameters:
    """Parameters of `model` (or a layer): batch norm's statistics count in the total alone."""
    return Parameters(_count(model.trainable_weights), _count(model.weights))


def multiply_adds(model: keras.Model, image_size: int | None = None) -> int:
    """Multiply-adds of one image through all convolutions and dense layers.

    Pooling, batch norm, biases and activations are not counted.

    Args:
        model: a functional model with one input.
        image_size: side in pixels, for a model of unknown input size (default 299).
    """
    shapes = _output_shapes(model, image_size)
    return sum(_layer_multiply_adds(layer, shapes) for layer in model.layers)


def parts(model: keras.Model, image_size: int | None = None) -> list[Part]:
    """One Part per endpoint of `model`, from the image to the predictions."""
    shapes = _output_shapes(model, image_size)
    views = _views(model, shapes)
    rows = []
    for name, layers in layers_of_endpoints(model).items():
        end = layers[-1].name  # the endpoint itself: layers follow what they read
        field, strides = views.get(end, (None, None))
        counts = [parameters(layer) for layer in layers]
        rows.append(Part(
            name=name,
            shape=shapes[end],
            parameters=Parameters(*map(sum, zip(*counts, strict=True))),
            multiply_adds=sum(_layer_multiply_adds(layer, shapes) for layer in layers),
            receptive_field=field,
            strides=strides,
        ))
    return rows


def layers_of_endpoints(model: keras.Model) -> dict[str, list[keras.Layer]]:
    """Endpoint name -> the layers it needs that no endpoint before it needed."""
    sources_of, layers = producers(model), {layer.name: layer for layer in model.layers}
    names = {id(layer.output): layer.name for layer in model.layers}
    owned, owners = set(), {}
    for endpoint, tensor in endpoints(model).items():
        waiting, mine = [names[id(tensor)]], set()
        while waiting:
            name = waiting.pop()
            if name not in owned and name not in mine:
                mine.add(name)
                waiting += sources_of[name]
        owned |= mine
        owners[endpoint] = [layer for name, layer in layers.items() if name in mine]
    return owners


def producers(model: keras.Model) -> dict[str, list[str]]:
    """Layer name -> names of the layers it reads from."""
    names = {id(layer.output): layer.name for layer in model.layers}

    def sources(layer):
        if isinstance(layer, keras.layers.InputLayer):
            return []
        tensors = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
        return [names[id(tensor)] for tensor in tensors]

    return {layer.name: sources(layer) for layer in model.layers}


def _count(weights):
    return sum(math.prod(w.shape) for w in weights)


def _output_shapes(model, image_size=None):
    """Layer name -> output shape without the batch, at `image_size` where it is unknown."""
    if len(model.inputs) != 1:
        raise ValueError(f"expected a model with one input, got {len(model.inputs)}")
    size = IMAGE_SIZE if image_size is None else image_size
    image = [size if side is None else side for side in model.inputs[0].shape[1:]]
    everything = keras.Model(model.inputs, {layer.name: layer.output for layer in model.layers})
    outputs = everything.compute_output_spec(keras.KerasTensor((1, *image)))
    return {name: tuple(output.shape[1:]) for name, output in outputs.items()}


def _layer_multiply_adds(layer, shapes):
    if not isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
        return 0
    # One use of a kernel per output position; its last axis is among the output's.
    *positions, _ = shapes[layer.name]
    return math.prod(positions) * math.prod(layer.kernel.shape)


def _views(model, shapes):
    """Layer name -> (receptive field, strides) in pixels, of layers that see a part."""
    views = {}
    for name, sources in producers(model).items():
        layer = model.get_layer(name)
        if not sources:
            views[name] = (1, 1), (1, 1)
        elif views.keys() >= set(sources) and not _mixes_everything(layer, shapes[name]):
            fields, strides = zip(*(views[source] for source in sources), strict=True)
            field = tuple(max(side) for side in zip(*fields, strict=True))
            views[name] = _widened(layer, field, strides[0])
    return views


def _mixes_everything(layer, shape):
    return len(shape) != 3 or isinstance(layer, keras.layers.Resizing)


def _widened(layer, field, strides):
    """Field and strides after `layer`: its window reaches (k - 1) strides further."""
    window = getattr(layer, "kernel_size", getattr(layer, "pool_size", (1, 1)))
    steps = getattr(layer, "strides", (1, 1))
    dilation = getattr(layer, "dilation_rate", (1, 1))
    field = tuple(
        f + (w - 1) * d * s for f, w, d, s in zip(field, window, dilation, strides, strict=True)
    )
    return field, tuple(s * step for s, step in zip(strides, steps, strict=True))
