"""Boxes and arrows drawn as the paper draws them: from the bottom up, as SVG or PNG.

Lengths are pixels of a drawing shown at its own size.
"""

import dataclasses
import io
import string
import textwrap
from collections.abc import Sequence
from typing import Any

import keras
import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from inception_tf.figures import paper
from inception_tf.figures.boxes import Box, block_boxes, network_boxes, title_of
from inception_tf.figures.places import lay_out

# A box's height, the room above it for an arrow and a shape, and between two columns.
BOX, GAP, BETWEEN = 40, 36, 14
MIN_WIDTH, MARGIN, LINE = 360, 20, 16
TITLE, TEXT, SMALL = 15, 12, 11
# Of a character at size 1: DejaVu Sans, the widest of those that show an SVG.
CHARACTER = 0.6
FILLS = {"conv": "#dbe9f6", "linear": "#fdeecb", "pool": "#e3f1dc", "concat": "#e9e6f2",
         "sum": "#e9e6f2", "block": "#dbe9f6", "input": "#f2f2f2", "other": "#f2f2f2"}
INK, GREY, RED = "#222222", "#5f6570", "#b3261e"
# Kind of box -> what is said below a drawing that has one.
LEGEND = {
    "conv": "conv: with batch norm and ReLU; linear: with neither. V: valid padding, else same.",
    "concat": "Filters are concatenated from left to right.",
}


def draw(model: keras.Model, block: str = "") -> Figure:
    """A built network, or one block of it, as the paper draws them.

    Where the paper has a figure of it, the drawing says its number and what it misprints.

    Args:
        model: one of our networks, under its own name.
        block: an endpoint, as `inception_a_1`; "stem" for all steps of the stem; "": the
            whole network, blocks in a row as one box.

    Raises:
        ValueError: `model` has no such block, or is not one of our networks.
    """
    boxes = block_boxes(model, block) if block else network_boxes(model)
    boxes = [_with_figure(box, model.name) for box in boxes]
    marks, notes = _misprints(model.name, block, boxes)
    kinds = {box.kind for box in boxes}
    legend = " ".join(text for kind, text in LEGEND.items() if kind in kinds)
    below = f"{block} of {model.name}" if block else "the whole network"
    return _Drawing(boxes, marks).finish(_title(model.name, block), below, notes, legend)


def rendered(figure: Figure, kind: str) -> bytes:
    """`figure` as a file of `kind`, one of FORMATS; the same bytes for the same figure.

    The text of an SVG is text.
    """
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format=kind, dpi=192, metadata={"svg": {"Date": None}}.get(kind))
    return file.getvalue()


def _title(network, block):
    name, number = title_of(block) if block else network, paper.figure_of(network, block)
    part = "Part of " if block.startswith("stem_") else ""
    return f"{part}Figure {number}: {name}" if number else name


def _misprints(network, block, boxes):
    """(name of a box -> letter, lines about what the figure of `block` misprints)."""
    letters, number = iter(string.ascii_lowercase), paper.figure_of(network, block)
    marks, notes = {}, []
    for misprint in paper.misprints_of(network, block):
        marked = [box.name for box in boxes if box.name.endswith(misprint.layers)]
        if misprint.layers and not marked:
            continue
        letter = next(letters) if marked else ""
        marks |= dict.fromkeys(marked, letter)
        notes.append(f"{letter}{': ' if letter else ''}Figure {number} {misprint.text} "
                     f"(docs/errata.md, {misprint.point})")
    return marks, notes


def _with_figure(box, network):
    """A block of a network with the number of its own figure."""
    number = paper.figure_of(network, box.name) if box.kind == "block" else None
    if not number:
        return box
    return dataclasses.replace(box, lines=(box.lines[0], f"Figure {number}: {box.lines[1]}"))


class _Drawing:
    """Boxes and arrows on a page whose lower edge is 0."""

    def __init__(self, boxes: Sequence[Box], marks: dict[str, str]):
        self._boxes, self._marks, self._layout = boxes, marks, lay_out(boxes)
        lines = [line for box in boxes if not self._is_bar(box) for line in box.lines]
        # A shape is written next to the arrow in the middle: the last column's must not be cut.
        self._half = max(_length(lines, TEXT) / 2 + 4,
                         _length(map(_shape, boxes), SMALL) + 12 - BETWEEN / 2 - MARGIN)
        self._column = 2 * self._half + BETWEEN
        self._drawn = self._layout.width * self._column
        self._width = max(MIN_WIDTH, self._drawn) + 2 * MARGIN
        self._bottom = 0.0
        self._axes: Axes

    def finish(self, title: str, below: str, notes: Sequence[str], legend: str) -> Figure:
        """The figure, with its title above and what is to be said of it below."""
        footer = [(line, RED) for note in notes for line in self._wrapped(note)]
        footer += [(line, GREY) for line in self._wrapped(legend)]
        self._bottom = 2 * MARGIN + LINE * len(footer)
        height = self._bottom + (BOX + GAP) * self._layout.height + 2 * LINE + 2 * MARGIN
        figure = self._page(height)
        top = height - MARGIN - LINE / 2
        self._write(MARGIN, top, title, TITLE, weight="bold")
        self._write(MARGIN, top - 1.3 * LINE, below, SMALL, color=GREY)
        for row, (line, color) in enumerate(footer):
            y = self._bottom - MARGIN - LINE * (row + 0.5)
            self._write(MARGIN, y, line, SMALL, color=color)
        self._draw_boxes()
        return figure

    def _wrapped(self, text):
        return textwrap.wrap(text, int((self._width - 2 * MARGIN) / (CHARACTER * SMALL)))

    def _page(self, height):
        # An inch of a browser has 96 pixels.
        figure = Figure(figsize=(self._width / 96, height / 96), facecolor="white")
        self._axes = figure.add_axes((0, 0, 1, 1), xlim=(0, self._width), ylim=(0, height))
        self._axes.set_axis_off()
        return figure

    def _draw_boxes(self):
        by_name = {box.name: box for box in self._boxes}
        for (source, target), column in self._layout.arrows.items():
            self._draw_arrow(by_name[source], by_name[target], column)
        for box in self._boxes:
            self._draw_box(box)
            self._draw_shape(box)

    def _draw_box(self, box):
        place = self._layout.places[box.name]
        mark = self._marks.get(box.name, "")
        left = self._x(place.left) - self._half_of(box)
        right = self._x(place.right) + self._half_of(box)
        y = self._y(place.level)
        style: dict[str, Any] = {
            "facecolor": FILLS[box.kind], "edgecolor": RED if mark else INK,
            "linewidth": 1.4 if mark else 0.8, "clip_on": False}
        self._axes.add_patch(
            Circle((self._x(place.x), y + BOX / 2), BOX / 2, **style) if box.kind == "sum" else
            FancyBboxPatch((left, y), right - left, BOX, boxstyle="round,pad=0,rounding_size=3",
                           **style))
        for row, line in enumerate(box.lines):
            self._write((left + right) / 2, y + BOX / 2 + LINE * ((len(box.lines) - 1) / 2 - row),
                        line, TEXT, ha="center")
        self._write(right - 4, y + BOX - 8, mark, SMALL, ha="right", color=RED, weight="bold")

    def _draw_shape(self, box):
        """The shape beside the first arrow out of a box; out of the drawing where there is none."""
        columns = [x for (source, _), x in self._layout.arrows.items() if source == box.name]
        place = self._layout.places[box.name]
        x, y = self._x(place.x), self._y(place.level) + BOX
        if not columns:
            self._route([(x, y), (x, y + GAP - 8)])
        elif self._is_bar(box):
            x = self._x(min(columns))
        self._write(x + 5, y + 10, _shape(box), SMALL, color=GREY)

    def _draw_arrow(self, source, target, column):
        """Up from the source, across to its column, up it; a shortcut goes in at the side."""
        start, end = self._layout.places[source.name], self._layout.places[target.name]
        x, bottom, top = self._x(column), self._y(start.level) + BOX, self._y(end.level)
        from_x = x if self._is_bar(source) else self._x(start.x)
        route = [(from_x, bottom), (from_x, bottom + 0.55 * GAP), (x, bottom + 0.55 * GAP)]
        if self._is_bar(target) or column == end.x:
            route.append((x, top))
        else:
            side = self._x(end.x) - self._half_of(target)
            route += [(x, top + BOX / 2), (side, top + BOX / 2)]
        self._route(route)

    def _route(self, points):
        self._axes.add_patch(FancyArrowPatch(
            path=Path(points), arrowstyle="-|>", mutation_scale=9, color=INK, linewidth=0.9,
            shrinkA=0, shrinkB=0, joinstyle="miter", clip_on=False))

    def _is_bar(self, box):
        place = self._layout.places[box.name]
        return place.left < place.right

    def _half_of(self, box):
        """Half the width of a box that is no bar; a sum is a circle."""
        return BOX / 2 if box.kind == "sum" else self._half

    def _x(self, column):
        return self._width / 2 + (column + 0.5) * self._column - self._drawn / 2

    def _y(self, level):
        return self._bottom + (BOX + GAP) * level

    def _write(self, x, y, text, size, **style):
        # Sizes of text are in points, 72 to an inch.
        self._axes.text(x, y, text, fontsize=0.75 * size, va="center_baseline",
                        **{"color": INK, **style})


def _shape(box):
    return "x".join("?" if side is None else str(side) for side in box.shape)


def _length(texts, size):
    """Of the longest."""
    return CHARACTER * size * max(map(len, texts))
