"""The pictures of the embedded data sets: one textured shape on cluttered ground.

A class is a shape with a texture. Everything else varies: size, place, angle,
colours, light, what covers it, what lies around it. Only additions,
multiplications, comparisons and square roots touch pixels, all exact in IEEE
arithmetic, so every machine draws the same pixels.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

CYCLES = (1.4, 2.4)  # texture periods per radius
COVER = 0.45  # most of the object's radius that the cover hides
DISTRACTOR_RADIUS = (0.08, 0.18)  # as Kind.radius
NOISE = 0.09  # amplitude of pixel noise, of 1


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the pictures of a set show, and how hard they are.

    shapes, textures: whose pairs are the classes.
    sides: least and most pixels of either side of the picture.
    radius: least and most of the object, as a share of the shorter side.
    contrast: least distance between two colours that must be told apart, of 1.
    covered: share of pictures with a cover.
    distractors: least and most fragments of other shapes on the ground.
    hard: share of pictures that are small, covered, pale and noisy at once.
    """

    shapes: tuple[str, ...]
    textures: tuple[str, ...]
    sides: tuple[int, int]
    radius: tuple[float, float]
    contrast: float
    covered: float
    distractors: tuple[int, int]
    hard: float

    @property
    def class_names(self) -> tuple[str, ...]:
        """TEXTURE_SHAPE of each label."""
        return tuple(f"{texture}_{shape}" for shape in self.shapes for texture in self.textures)


# Tuned so that a small Inception-ResNet trained for eight minutes on two cores
# ends between 10 and 25 % error; docs/data.md has the runs.
SMALL = Kind(shapes=("disc", "square", "triangle", "cross", "ring"),
             textures=("plain", "stripes", "checks", "dots"), sides=(96, 128),
             radius=(0.25, 0.46), contrast=0.22, covered=0.45, distractors=(1, 4), hard=0.18)
# Stretched, a disc can be an ellipse and a square a rectangle: those classes overlap.
LARGE = Kind(shapes=(*SMALL.shapes, "ellipse", "rectangle", "hexagon", "pentagon", "star"),
             textures=(*SMALL.textures, "waves"), sides=(128, 128),
             radius=(0.2, 0.45), contrast=0.18, covered=0.55, distractors=(2, 6), hard=0.25)


def draw(label: int, seed: Sequence[int], kind: Kind = SMALL) -> np.ndarray:
    """The picture of class `label` of a set that `seed` stands for.

    Shape: -> [h, w, 3] uint8, h and w within kind.sides.
    """
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([*seed, label])))
    height, width = (int(v) for v in random.integers(kind.sides[0], kind.sides[1] + 1, 2))
    hard = random.random() < kind.hard
    canvas = _ground(random, height, width)
    for _ in range(random.integers(*kind.distractors, endpoint=True)):
        _distract(random, canvas, kind)
    _paint_object(random, canvas, label, hard, kind)
    return _finish(random, canvas, hard)


def _paint_object(random, canvas, label, hard, kind):
    shorter = min(canvas.shape[:2])
    low, high = kind.radius
    radius = shorter * (low if hard else _between(random, low, high))
    center = [_between(random, 0.75 * radius, side - 0.75 * radius) for side in canvas.shape[:2]]
    window, u, v = _object_frame(random, canvas, center, radius)
    shape, texture = divmod(label, len(kind.textures))
    mask = np.clip(_distance(kind.shapes[shape], u, v) * radius + 0.5, 0.0, 1.0)
    colors = _two_colors(random, window, 0.6 * kind.contrast if hard else kind.contrast)
    _blend(window, mask, _texture(random, kind.textures[texture], u, v, colors))
    if hard or random.random() < kind.covered:
        _cover(random, canvas, center, radius)


def _cover(random, canvas, center, radius):
    """A bar of one colour over an edge of the object, never over its middle."""
    y, x = _grid(canvas.shape)
    dy, dx = _direction(random)
    along = (y - center[0]) * dy + (x - center[1]) * dx
    start = radius * _between(random, 1.0 - COVER, 1.0)
    thick = radius * _between(random, 0.3, 0.8)
    mask = np.clip(np.minimum(along - start, start + thick - along) + 0.5, 0.0, 1.0)
    _blend(canvas, mask, _color(random))


def _distract(random, canvas, kind):
    """A sliver of some shape: enough edge and texture to mislead, too little to be one."""
    height, width = canvas.shape[:2]
    radius = min(height, width) * _between(random, *DISTRACTOR_RADIUS)
    center = (_between(random, 0, height), _between(random, 0, width))
    window, u, v = _object_frame(random, canvas, center, radius)
    shape = kind.shapes[random.integers(len(kind.shapes))]
    texture = kind.textures[random.integers(len(kind.textures))]
    inside = np.minimum(_distance(shape, u, v), v - _between(random, 0.0, 0.4))
    mask = np.clip(inside * radius + 0.5, 0.0, 1.0)
    _blend(window, mask, _texture(random, texture, u, v, _two_colors(random, window, 0.0)))


def _ground(random, height, width):
    """Two colours mixed by a slope and by smooth noise."""
    y, x = _grid((height, width))
    dy, dx = _direction(random)
    slope = (y * dy + x * dx) / (height + width) + 0.5
    cells = int(random.integers(3, 9))
    mix = np.clip(slope + 0.7 * (_smooth_noise(random, height, width, cells) - 0.5), 0.0, 1.0)
    first, second = _color(random), _color(random)
    return first + mix[..., np.newaxis] * (second - first)


def _finish(random, canvas, hard):
    """Light, noise and rounding to bytes."""
    gain = _between(random, 0.7, 1.2)
    shift = _between(random, -0.1, 0.1)
    noise = NOISE * (1.5 if hard else random.random())
    grain = random.random(canvas.shape, dtype=np.float32) - np.float32(0.5)
    lit = canvas * gain + shift + noise * grain
    return (np.clip(lit, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def _distance(shape, u, v):
    """Positive inside the shape, in radii; exact enough near the edge to smooth it."""
    if shape in _CORNERED:
        distances = _sides(*_CORNERED[shape], u, v)
        # A point of the star may lie behind one of its five lines.
        return np.sort(distances, axis=0)[1] if shape == "star" else distances.min(axis=0)
    if shape == "disc":
        return 0.95 - np.sqrt(u * u + v * v)
    if shape == "ellipse":
        return 0.95 - np.sqrt(u * u + (1.6 * v) * (1.6 * v))
    if shape == "ring":
        return 0.27 - np.abs(np.sqrt(u * u + v * v) - 0.7)
    if shape == "square":
        return 0.82 - np.maximum(np.abs(u), np.abs(v))
    if shape == "rectangle":
        return np.minimum(0.9 - np.abs(u), 0.55 - np.abs(v))
    if shape == "triangle":
        return 0.5 - np.maximum(v, np.abs(u) * 0.8660254 - v * 0.5)
    long, short = np.maximum(np.abs(u), np.abs(v)), np.minimum(np.abs(u), np.abs(v))
    return np.minimum(0.95 - long, 0.32 - short)


# Directions of a shape's sides, left and right alike: (sine, cosine) to the axis; and how far from
# the middle the sides are.
_FIVE = ((0.0, 1.0), (0.9510565, 0.309017), (0.5877853, -0.809017))
_CORNERED = {
    "hexagon": (((0.0, 1.0), (0.8660254, 0.5), (0.8660254, -0.5), (0.0, -1.0)), 0.82),
    "pentagon": (_FIVE, 0.76),
    "star": (_FIVE, 0.31),
}


def _sides(directions, far, u, v):
    """Distance from each side, positive within. Shape: -> [sides, h, w]."""
    both = [(sign * sine, cosine) for sine, cosine in directions
            for sign in ((1.0, -1.0) if sine else (1.0,))]
    return np.stack([far - (u * np.float32(x) + v * np.float32(y)) for x, y in both])


def _texture(random, texture, u, v, colors):
    cycles = _between(random, *CYCLES)
    u, v = u * cycles + random.random(), v * cycles + random.random()
    if texture == "plain":
        return colors[0]
    if texture == "stripes":
        second = (np.floor(2 * u) % 2).astype(np.float32)
    elif texture == "waves":
        bend = np.abs(v - np.floor(v) - 0.5)
        second = (np.floor(2 * u + 1.6 * bend) % 2).astype(np.float32)
    elif texture == "checks":
        second = ((np.floor(2 * u) + np.floor(2 * v)) % 2).astype(np.float32)
    else:
        du, dv = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
        second = (du * du + dv * dv < 0.1).astype(np.float32)
    return colors[0] + second[..., np.newaxis] * (colors[1] - colors[0])


def _object_frame(random, canvas, center, radius):
    """The part of the canvas around an object, and its pixels in the object's frame.

    Shape: -> view [h, w, 3], u [h, w], v [h, w]; u and v in radii, turned and
    stretched.
    """
    # Every shape lies within 1.36 radii: the square's corner, stretched.
    reach = 1.4 * radius
    top, left = (max(int(c - reach), 0) for c in center)
    window = canvas[top : int(center[0] + reach) + 2, left : int(center[1] + reach) + 2]
    y, x = _grid(window.shape)
    y, x = (y + (top - center[0])) / radius, (x + (left - center[1])) / radius
    dy, dx = _direction(random)
    stretch = _between(random, 0.85, 1.15)
    return window, (x * dx + y * dy) * stretch, (y * dx - x * dy) / stretch


def _smooth_noise(random, height, width, cells):
    """Bilinear interpolation of a coarse grid of random values."""
    coarse = random.random((cells + 1, cells + 1), dtype=np.float32)
    rows = _interpolate(coarse, np.arange(height, dtype=np.float32) * (cells / height))
    return _interpolate(rows.T, np.arange(width, dtype=np.float32) * (cells / width)).T


def _interpolate(table, at):
    low = np.floor(at).astype(np.int64)
    part = (at - low)[:, np.newaxis].astype(np.float32)
    return table[low] * (1 - part) + table[low + 1] * part


def _grid(shape):
    y = np.arange(shape[0], dtype=np.float32)[:, np.newaxis]
    x = np.arange(shape[1], dtype=np.float32)[np.newaxis, :]
    return y, x


def _direction(random):
    """(sine, cosine) of a random angle; rounded, because libm differs in the last bit."""
    angle = 2 * math.pi * random.random()
    return np.float32(round(math.sin(angle), 6)), np.float32(round(math.cos(angle), 6))


def _two_colors(random, window, least):
    """Two colours, `least` apart (mean over channels) from each other and the ground."""
    ground = window.mean(axis=(0, 1))
    while True:
        first, second = _color(random), _color(random)
        pairs = ((first, second), (first, ground), (second, ground))
        if min(np.abs(a - b).mean() for a, b in pairs) >= least:
            return first, second


def _color(random):
    return random.random(3, dtype=np.float32)


def _blend(canvas, mask, color):
    canvas += mask[..., np.newaxis] * (color - canvas)


def _between(random, low, high):
    return np.float32(low + (high - low) * random.random())
