"""Where the boxes of a drawing go: levels from the bottom up, a column for each branch.

Columns are numbers from 0 on, the first branch of a concatenation leftmost; how wide one is
in pixels is the drawing's business.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from inception_tf.figures.boxes import Box


class Place(NamedTuple):
    """A box's place: its centre and its two ends in columns, its level above the lowest."""

    x: float
    left: float
    right: float
    level: int


@dataclasses.dataclass(frozen=True)
class Layout:
    """Places of boxes, and of what runs between them.

    Attributes:
        places: box name -> its Place.
        arrows: (source, target) -> column in which the arrow rises.
        width: in columns.
        height: in levels.
    """

    places: dict[str, Place]
    arrows: dict[tuple[str, str], float]
    width: float
    height: int


def lay_out(boxes: Sequence[Box]) -> Layout:
    """The Layout of `boxes`, each of which comes after those that it reads."""
    arrows, centres = _Columns(boxes).place()
    spans = {box.name: _span(box, centres[box.name], arrows) for box in boxes}
    left = min(span[0] for span in spans.values())
    right = max(span[1] for span in spans.values())
    levels: dict[str, int] = {}
    for box in boxes:
        levels[box.name] = 1 + max((levels[source] for source in box.sources), default=-1)
    return Layout(
        places={name: Place(centres[name] - left, a - left, b - left, levels[name])
                for name, (a, b) in spans.items()},
        arrows={arrow: column - left for arrow, column in arrows.items()},
        width=right - left + 1, height=1 + max(levels.values()))


def _span(box, centre, arrows):
    """Concatenations and inputs are bars, as wide as their arrows are apart."""
    if box.kind not in ("concat", "input"):
        return centre, centre
    columns = [centre, *(x for arrow, x in arrows.items() if box.name in arrow)]
    return min(columns), max(columns)


class _Columns:
    """Gives columns from the top down.

    What a box reads stands below it, the branches of a join side by side. A box that several
    read (a fork) waits until all of them are placed and stands below their middle. A shortcut,
    an arrow from a fork to a join, has a column of its own.
    """

    def __init__(self, boxes):
        self._boxes = {box.name: box for box in boxes}
        self._readers = {name: [box.name for box in boxes if name in box.sources]
                         for name in self._boxes}
        self._arrows = {}
        self._centres = {}
        self._widths, self._offsets = {}, {}
        for name in self._boxes:  # each after those that it reads
            self._widths[name] = self._width(name)
            self._offsets[name] = self._offset(name)

    def place(self):
        """((source, target) -> column, box -> centre)."""
        start = 0.0
        for name in self._boxes:
            if not self._readers[name]:
                self._put(name, start)
                start += self._widths[name]
        for name in reversed(self._boxes):
            if self._is_fork(name):
                self._put(name, self._below_readers(name) - self._offsets[name])
        return self._arrows, self._centres

    def _is_fork(self, name):
        return len(self._readers[name]) > 1

    def _is_shortcut(self, source, target):
        return self._is_fork(source) and len(self._boxes[target].sources) > 1

    def _width(self, name):
        """Columns of a box with all below it, down to forks."""
        return max(1, sum(width for _, width, _ in self._branches(name)))

    def _branches(self, name):
        """(source, its width, its centre counted from where it begins) of what a box reads."""
        for source in self._boxes[name].sources:
            if self._is_fork(source):
                yield source, 1, 0.0
            else:
                yield source, self._widths[source], self._offsets[source]

    def _offset(self, name):
        """A box's centre, counted from where its columns begin."""
        return _middle_of(self._arrows_into(name, 0.0)) or 0.0

    def _arrows_into(self, name, start):
        """(is a shortcut, column) of each arrow into a box whose columns begin at `start`."""
        for source, width, centre in self._branches(name):
            yield self._is_shortcut(source, name), start + centre
            start += width

    def _below_readers(self, fork):
        return _middle_of((self._is_shortcut(fork, reader), self._arrows[fork, reader])
                          for reader in self._readers[fork])

    def _put(self, name, start):
        """Places a box whose columns begin at `start`, and all below it, down to forks."""
        self._centres[name] = start + self._offsets[name]
        for source, width, centre in self._branches(name):
            self._arrows[source, name] = start + centre
            if not self._is_fork(source):
                self._put(source, start)
            start += width


def _middle_of(arrows: Iterable[tuple[bool, float]]) -> float | None:
    """Mean column of those that are no shortcuts, or of all; None where there is none."""
    arrows = list(arrows)
    columns = [x for shortcut, x in arrows if not shortcut] or [x for _, x in arrows]
    return sum(columns) / len(columns) if columns else None
