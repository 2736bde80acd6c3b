"""Random weights and images that make two implementations show their differences."""

import zlib

import numpy as np


def random_like(name, kind, shape):
    """Weights of `kind` under which activations keep their size through 200 layers.

    Kernels are He-normal over all axes but the last, variances and scales in [0.5, 1.5],
    offsets and biases of standard deviation 0.1.
    """
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    if kind == "kernel":
        return draw.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
    if kind in ("moving_variance", "gamma"):
        return draw.uniform(0.5, 1.5, shape)
    return draw.standard_normal(shape) * 0.1


def images(count=1, size=299):
    """Images with structure: float32 [count, size, size, 3] in [-1, 1]."""
    draw = np.random.default_rng(0)
    coarse = draw.uniform(-1, 1, (count, 5, 7, 3)).repeat(60, axis=1).repeat(43, axis=2)
    fine = draw.uniform(-0.2, 0.2, (count, size, size, 3))
    return np.clip(coarse[:, :size, :size] + fine, -1, 1).astype("float32")
