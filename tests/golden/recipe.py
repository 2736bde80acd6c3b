"""The weights and images behind slim_*.npz, reproducible from names and seeds.

The golden files hold what TF-slim's own code answered to these images with these
weights. Whatever carries the same values under the same names must answer the same.
"""

import zlib

import numpy as np


def weight(name, shape):
    """Value of the TF-slim variable `name`, float32 of `shape`.

    The generator's seed is the CRC-32 of the name. Kernels are He-normal (two-dimensional
    classifiers: variance 1 / fan-in), moving variances uniform in [0.5, 1.5], all the
    rest normal with standard deviation 0.1.
    """
    draw = np.random.RandomState(zlib.crc32(name.encode()) % 2**32)
    kind = name.split("/")[-1]
    if kind == "moving_variance":
        return draw.uniform(0.5, 1.5, shape).astype(np.float32)
    if kind != "weights":
        return (draw.standard_normal(shape) * 0.1).astype(np.float32)
    classifier = len(shape) == 2 and "ogits/" in name
    fan_in = np.prod(shape[:-1])
    return (draw.standard_normal(shape) * np.sqrt((1 if classifier else 2) / fan_in)).astype(
        np.float32
    )


def images(count=2, size=299):
    """`count` images of coloured tiles under noise: float32 [count, size, size, 3] in [-1, 1].

    The grids of tiles differ per image and per axis, so that a transposed or shifted
    answer shows.
    """
    draw = np.random.RandomState(0)
    return np.stack([_tiles(draw, 3 + 2 * i, 5 + i, size) for i in range(count)])


def _tiles(draw, rows, columns, size):
    colours = draw.uniform(-1, 1, (rows, columns, 3))
    noise = draw.uniform(-0.2, 0.2, (size, size, 3))
    row = np.arange(size) * rows // size
    column = np.arange(size) * columns // size
    return np.clip(colours[row][:, column] + noise, -1, 1).astype(np.float32)
