"""A built network as boxes and arrows, in the signs of the paper's figures.

Made from the layers of the Keras graph, so that a drawing cannot differ from the code.
"""

import dataclasses
import difflib
import itertools
import re
from collections.abc import Iterable, Mapping

import keras

from inception_tf.nets.anatomy import layers_of_endpoints, producers
from inception_tf.networks import stage_of


@dataclasses.dataclass(frozen=True)
class Box:
    """One box of a figure.

    Attributes:
        name: of its first layer, or of the block or the last of the blocks it stands for.
        kind: "conv", "linear", "pool", "concat", "sum", "block", "input" or "other".
        lines: what is written in it.
        sources: names of the boxes that it reads, in their order.
        shape: of its output, without the batch.
    """

    name: str
    kind: str
    lines: tuple[str, ...]
    sources: tuple[str, ...]
    shape: tuple[int | None, ...]


def block_boxes(model: keras.Model, block: str) -> list[Box]:
    """The Boxes of one block, what it reads first: an endpoint, or "stem" for all its steps.

    Raises:
        ValueError: `model` has no such block, or is not one of our networks.
    """
    boxes, block_of = _boxes(model), _blocks(model)
    if block == "stem":
        block_of = {layer: _whole_stem(name) for layer, name in block_of.items()}
    inside = [box for box in boxes.values() if block_of.get(box.name) == block]
    if not inside:
        raise ValueError(_unknown(block, model.name, block_of.values()))
    names = {box.name for box in inside}
    before = dict.fromkeys(s for box in inside for s in box.sources if s not in names)
    inputs = [Box(name, "input", (block_of.get(name, name),), (), boxes[name].shape)
              for name in before]
    return inputs + inside


def network_boxes(model: keras.Model) -> list[Box]:
    """The Boxes of a whole network: one for a block or equal blocks in a row, and its head.

    Raises:
        ValueError: `model` is not one of our networks.
    """
    boxes, block_of = _boxes(model), _blocks(model)
    stages = {name: _whole_stem(block_of.get(name, name)) for name in boxes}
    inside: dict[str, list[Box]] = {}
    for name, box in boxes.items():
        if stage_of(stages[name]) == "head" or box.kind == "input":
            stages[name] = name
        inside.setdefault(stages[name], []).append(box)
    drawn = [_as_one(stage, members, stages) for stage, members in inside.items()]
    return _merged(drawn, inside)


def title_of(block: str) -> str:
    """What the paper calls a block: "Inception-ResNet-A" for inception_resnet_a_3."""
    if re.match(r"(inception|reduction|stem)", base := base_of(block)):
        words = base.split("_")
        return "-".join("ResNet" if word == "resnet" else word.capitalize() for word in words)
    return base


def base_of(block: str) -> str:
    """`block` without its number."""
    return re.sub(r"_\d+$", "", block)


def _blocks(model):
    """Layer name -> the endpoint that it belongs to."""
    return {layer.name: endpoint for endpoint, layers in layers_of_endpoints(model).items()
            for layer in layers}


def _whole_stem(endpoint):
    return "stem" if re.fullmatch(r"stem_\d+", endpoint) else endpoint


def _unknown(block, network, known: Iterable[str]) -> str:
    known = list(dict.fromkeys(known))
    near = difflib.get_close_matches(block, known, 3)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    runs = [list(run) for _, run in itertools.groupby(known, base_of)]
    names = ", ".join(_range(run[0], run[-1]) for run in runs)
    return f"{network} has no block {block!r}: {meant}it has {names}"


def _range(first, last):
    """`inception_a_1 .. _4`."""
    number = last.removeprefix(base_of(last))
    return first if first == last else f"{first} .. {number or last}"


def _boxes(model) -> dict[str, Box]:
    """All boxes by name, each after those that it reads."""
    sources_of = producers(model)
    layers_in: dict[str, list[keras.Layer]] = {}
    box_of: dict[str, str] = {}
    for layer in model.layers:
        sources = sources_of[layer.name]
        below = box_of[sources[0]] if len(sources) == 1 else None
        box = below if below and _continues(layers_in[below], layer) else layer.name
        box_of[layer.name] = box
        layers_in.setdefault(box, []).append(layer)
    return {name: _box(layers, dict.fromkeys(box_of[s] for s in sources_of[name]))
            for name, layers in layers_in.items()}


def _continues(layers, layer):
    """Whether `layer` is drawn in the box of the `layers` that it reads."""
    match layers[-1], layer:
        case keras.layers.Conv2D(), keras.layers.BatchNormalization():
            return True
        case keras.layers.BatchNormalization(), keras.layers.ReLU():
            return isinstance(layers[0], keras.layers.Conv2D)
    return isinstance(layer, keras.layers.Identity)


def _box(layers, sources: Mapping[str, None]) -> Box:
    kind, *lines = _content(layers[0])
    if kind == "conv" and not any(isinstance(layer, keras.layers.ReLU) for layer in layers):
        kind, lines = "linear", [*lines[:-1], f"{lines[-1]} linear"]
    return Box(layers[0].name, kind, tuple(lines), tuple(sources),
               tuple(layers[-1].output.shape[1:]))


def _content(layer):
    """Kind and lines of the box that begins with `layer`."""
    match layer:
        case keras.layers.InputLayer():
            return "input", "Image"
        case keras.layers.Conv2D():
            return "conv", f"{_by(layer.kernel_size)} conv", f"{layer.filters}{_manner(layer)}"
        case keras.layers.MaxPooling2D():
            return "pool", "Max pooling", f"{_by(layer.pool_size)}{_manner(layer)}"
        case keras.layers.AveragePooling2D():
            return "pool", "Average pooling", f"{_by(layer.pool_size)}{_manner(layer)}"
        case keras.layers.GlobalAveragePooling2D():
            return "pool", "Average pooling", "of the whole grid"
        case keras.layers.Concatenate():
            return "concat", "Filter concat"
        case keras.layers.Add():
            return "sum", "+"
        case keras.layers.Rescaling():
            return "other", "Scale", f"times {layer.scale:g}"
        case keras.layers.Dropout():
            return "other", "Dropout", f"keep {1 - layer.rate:g}"
        case keras.layers.Dense():
            return "linear", "Dense", f"{layer.units}"
        case keras.layers.Resizing():
            return "other", "Resize", f"{layer.height}x{layer.width}"
        case keras.layers.BatchNormalization():
            return "other", "Batch norm"
        case keras.layers.Activation():
            return "other", layer.activation.__name__.capitalize()
    return "other", type(layer).__name__


def _by(sides):
    return "x".join(map(str, sides))


def _manner(layer):
    """Stride and padding; nothing for stride 1 and "same", as in the figures."""
    window = getattr(layer, "kernel_size", None) or layer.pool_size
    stride = f" stride {max(layer.strides)}" if max(layer.strides) > 1 else ""
    return stride + (" V" if layer.padding == "valid" and max(window) > 1 else "")


def _as_one(stage, members, stages):
    """The boxes of one stage as one Box; a single one that has no number as it is."""
    sources = dict.fromkeys(stages[s] for box in members for s in box.sources)
    sources.pop(stage, None)
    if len(members) == 1 and base_of(stage) == stage:
        return dataclasses.replace(members[0], name=stage, sources=tuple(sources))
    lines = dict.fromkeys((title_of(stage), stage))
    return Box(stage, "block", tuple(lines), tuple(sources), members[-1].shape)


def _merged(boxes, inside):
    """Blocks in a row that are equal but for their names become one Box."""
    runs: list[list[Box]] = []
    for box in boxes:
        if runs and _repeats(runs[-1][-1], box, inside):
            runs[-1].append(box)
        else:
            runs.append([box])
    return [_run(run) if len(run) > 1 else run[0] for run in runs]


def _repeats(before, box, inside):
    def content(name):
        return [(b.lines, b.shape) for b in inside[name]]

    return (box.kind == "block" and box.sources == (before.name,)
            and base_of(box.name) == base_of(before.name)
            and content(box.name) == content(before.name))


def _run(run):
    first, last = run[0], run[-1]
    lines = (f"{len(run)} x {title_of(last.name)}", _range(first.name, last.name))
    return dataclasses.replace(last, lines=lines, sources=first.sources)
