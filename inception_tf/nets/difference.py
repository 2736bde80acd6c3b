"""What differs between two networks, box by box."""

import difflib
import itertools
import re
from typing import NamedTuple

import keras

from inception_tf.nets.anatomy import layers_of_endpoints, multiply_adds, parameters, parts

ABSENT = "-"


class Difference(NamedTuple):
    """One line of a comparison: where, what, and its form in either network."""

    where: str
    what: str
    a: str
    b: str


def difference(model_a: keras.Model, model_b: keras.Model,
               image_size: int | None = None) -> list[Difference]:
    """The Differences of two networks: the whole, then block by block; empty for equals.

    Blocks are paired by endpoint name. Neighbours that differ in the same way share a
    line (`inception_a_1..4`); a block that one network lacks is a line `block`.
    `image_size` (pixels) stands in for unknown input sizes.
    """
    whole = _compare(_whole(model_a, image_size), _whole(model_b, image_size))
    blocks_a, blocks_b = _blocks(model_a, image_size), _blocks(model_b, image_size)
    rows = {}
    for name in _merged(list(blocks_a), list(blocks_b)):
        if name in blocks_a and name in blocks_b:
            rows[name] = _compare(blocks_a[name], blocks_b[name])
        else:
            rows[name] = [("block", _summary(blocks_a, name), _summary(blocks_b, name))]
    return [Difference("network", *row) for row in whole] + _collapsed(rows)


def _whole(model, image_size):
    """What is true of the network as a whole: name -> text."""
    counts = parameters(model)
    norms = [n for n in model.layers if isinstance(n, keras.layers.BatchNormalization)]
    return {
        "trainable parameters": f"{counts.trainable:,}",
        "parameters": f"{counts.total:,}",
        "multiply-adds": f"{multiply_adds(model, image_size):,}",
        "batch norm": "; ".join(sorted({
            f"momentum {n.momentum:g}, epsilon {n.epsilon:g}{', gamma' if n.scale else ''}"
            for n in norms
        })),
    }


def _blocks(model, image_size):
    """Endpoint -> {"output": its shape, "end": its last operation, box: its form}."""
    shapes = {part.name: part.shape for part in parts(model, image_size)}
    blocks = {}
    for endpoint, layers in layers_of_endpoints(model).items():
        boxes = {"output": "x".join(map(str, shapes[endpoint]))}
        for layer in layers:
            boxes[_name_inside(layer.name, endpoint)] = _box(layer)
        boxes["end"] = type(layers[-1]).__name__
        blocks[endpoint] = {what: box for what, box in boxes.items() if box}
    return blocks


def _name_inside(layer, endpoint):
    return layer.removeprefix(endpoint).lstrip("_") or "box"


def _box(layer):
    """A layer in the signs of the figures, "3x3 384 /2 V"; "" for what they do not draw."""
    match layer:
        case keras.layers.Conv2D():
            bias = ", bias" if layer.use_bias else ""
            return f"{_window(layer.kernel_size)} {layer.filters}{_manner(layer)}{bias}"
        case keras.layers.MaxPooling2D():
            return f"max {_window(layer.pool_size)}{_manner(layer)}"
        case keras.layers.AveragePooling2D():
            return f"average {_window(layer.pool_size)}{_manner(layer)}"
        case keras.layers.Dense():
            return f"dense {layer.units}"
        case keras.layers.Rescaling():
            return f"times {layer.scale:g}"
        case keras.layers.Dropout():
            return f"drops {layer.rate:g}"
        case keras.layers.Resizing():
            return f"resized to {layer.height}x{layer.width}"
    return ""


def _window(sides):
    return "x".join(map(str, sides))


def _manner(layer):
    """Stride and padding; nothing for stride 1 and "same", as in the figures."""
    stride = f" /{max(layer.strides)}" if max(layer.strides) > 1 else ""
    window = getattr(layer, "kernel_size", None) or layer.pool_size
    return stride + (" V" if layer.padding == "valid" and max(window) > 1 else "")


def _compare(a, b):
    """(what, form in a, form in b) of everything that is not the same."""
    return [
        (what, a.get(what, ABSENT), b.get(what, ABSENT))
        for what in dict.fromkeys([*a, *b])
        if a.get(what) != b.get(what)
    ]


def _summary(blocks, name):
    """A block on one line: its output, and what sets it apart from the one before."""
    if name not in blocks:
        return ABSENT
    names = list(blocks)
    before = names[max(0, names.index(name) - 1)]
    changes = []
    if _without_number(before) == _without_number(name):
        rows = _compare(blocks[before], blocks[name])
        changes = [f"{what}: {new}" for what, _, new in rows if what != "output"]
    return "; ".join([blocks[name]["output"], *changes])


def _merged(names_a, names_b):
    """The names of both in reading order; where they part, those of a come first."""
    merged = []
    matcher = difflib.SequenceMatcher(None, names_a, names_b, autojunk=False)
    for tag, start_a, end_a, start_b, end_b in matcher.get_opcodes():
        merged += names_a[start_a:end_a]
        if tag != "equal":
            merged += names_b[start_b:end_b]
    return merged


def _collapsed(rows):
    """Differences; `block_1`, `block_2`... with equal rows become `block_1..2`."""
    lines = []
    for (block, found), group in itertools.groupby(
        rows.items(), key=lambda item: (_without_number(item[0]), item[1])
    ):
        names = [name for name, _ in group]
        where = names[0]
        if len(names) > 1:
            where += f"..{names[-1].removeprefix(block + '_')}"
        lines += [Difference(where, *row) for row in found]
    return lines


def _without_number(name):
    return re.sub(r"_\d+$", "", name)
