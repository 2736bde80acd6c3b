"""Convolutions along the rows from fewer multiplications: minimal filtering (Winograd).

m outputs of a filter of r taps are A ((G g) * (B d)), g the taps, d the m + r - 1 inputs
that the outputs see: m + r - 1 products instead of m r (arXiv 1509.09308). The matrices
follow from as many points, the last of them infinity. Only rows are filtered this way;
filtering in both directions was not tried.

B for all tiles of an image, padding included, is one matrix from the left, and so is A: the
sums are matrix products. The rounding error (RMS over the standard deviation of the results)
is 1e-6 with 3 and 5 taps and 3e-6 with 7; tf.nn.conv2d's own in float32 is 5e-7.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

# Taps -> outputs of a tile: 2.25, 2.5 and 2.8 times fewer products.
OUTPUTS = {3: 6, 5: 4, 7: 4}
# Products of a tile -> the finite points; of those tried, with the smallest rounding errors.
_POINTS = {8: (0, 1, -1, 2, -2, 1 / 2, -1 / 2),
           10: (0, 1, -1, 2, -2, 1 / 3, -1 / 3, 4 / 3, -3 / 4)}
# Columns of the kernel times the smaller of its channel counts: from here on the products saved
# outweigh the added sums, measured layer by layer (docs/lab/serving.md).
_ENOUGH = 160


def pays(layer: keras.layers.Conv2D) -> bool:
    """Whether a convolution layer, channels last, is faster this way on a CPU."""
    taps, columns, channels, filters = layer.kernel.shape
    rows = layer.output.shape[1]
    return (taps in OUTPUTS and layer.strides == (1, 1) and layer.dilation_rate == (1, 1)
            and layer.groups == 1 and columns * min(channels, filters) >= _ENOUGH
            and rows is not None and rows >= 2 * OUTPUTS[taps])


def convolution(layer: keras.layers.Conv2D,
                kernel: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
    """The function x [n, H, W, C] -> conv(x) [n, H', W', K] of a layer that `pays`.

    The kernel [taps, columns, C, K] is transformed once for all calls.
    """
    taps, columns, channels, filters = kernel.shape
    a, g, b = transforms(OUTPUTS[taps], taps)
    sums = _sums_of_inputs(layer, b, len(a))
    flat = tf.matmul(np.float32(g), tf.reshape(kernel, [taps, -1]))
    kernels = tf.reshape(flat, [len(g), columns, channels, filters])
    multiplied = _by_products if columns == 1 else _by_convolutions

    def convolve(x):
        rows, columns, channels = layer.input.shape[1:]
        x = tf.reshape(x, [-1, rows, columns * channels])
        return multiplied(layer, tf.matmul(sums, x), kernels, a)

    return convolve


def transforms(outputs: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(A [m, t], G [t, r], B [t, t]) in float64, t = m + r - 1."""
    products = outputs + taps - 1

    def powers(count):
        infinity = [0] * (count - 1) + [1]
        return np.array([[point ** i for i in range(count)] for point in _POINTS[products]]
                        + [infinity], np.float64)

    return powers(outputs).T, powers(taps), np.linalg.inv(powers(products)).T


def _by_convolutions(layer, x, kernels, a):
    """One convolution along the columns for each of the t products.

    Shapes: [n, t tiles, W C], [t, columns, C, K] -> [n, H', W', K].
    """
    products = kernels.shape[0]
    tiles = x.shape[1] // products
    parts = tf.split(tf.reshape(x, [-1, x.shape[1], *layer.input.shape[2:]]), products, axis=1)
    x = tf.concat([tf.nn.conv2d(part, kernel[tf.newaxis], 1, layer.padding.upper())
                   for part, kernel in zip(parts, tf.unstack(kernels), strict=True)], axis=1)
    _, rows, columns, filters = layer.output.shape
    x = tf.reshape(x, [-1, products * tiles, columns * filters])
    x = tf.matmul(_sums_of_products(a, tiles)[:rows], x)
    return tf.reshape(x, [-1, rows, columns, filters])


def _by_products(layer, x, kernels, a):
    """Kernels one column wide: a matrix product for each of the t products; shapes as above."""
    products, _, channels, _ = kernels.shape
    number, tiles = tf.shape(x)[0], x.shape[1] // products
    # Not broadcast as [t, 1, ...] with [1, n, ...]: oneDNN's tf.matmul is wrong at n = 1.
    x = tf.transpose(tf.reshape(x, [number, products, -1]), [1, 0, 2])
    x = tf.matmul(tf.reshape(x, [products, -1, channels]), kernels[:, 0])
    x = tf.matmul(np.float32(a), tf.reshape(x, [products, -1]))
    _, rows, columns, filters = layer.output.shape
    x = tf.transpose(tf.reshape(x, [len(a), number * tiles, columns * filters]), [1, 0, 2])
    return tf.reshape(x, [number, -1, columns, filters])[:, :rows]


def _sums_of_inputs(layer, b, outputs):
    """B for every tile: [t tiles, H], the padding of "same" left out."""
    rows, taps = layer.input.shape[1], layer.kernel.shape[0]
    before = (taps - 1) // 2 if layer.padding == "same" else 0
    tiles = -(-layer.output.shape[1] // outputs)
    sums = np.zeros([len(b), tiles, rows], np.float32)
    for tile in range(tiles):
        first = tile * outputs - before
        seen = range(max(first, 0), min(first + len(b), rows))
        sums[:, tile, seen] = b[:, [row - first for row in seen]]
    return sums.reshape(-1, rows)


def _sums_of_products(a, tiles):
    """A for every tile: [m tiles, t tiles]."""
    sums = np.einsum("mt,ij->imtj", a, np.eye(tiles))
    return np.float32(sums.reshape(len(a) * tiles, -1))
