"""How large a network is, by arithmetic: known before any of it is built."""

from collections.abc import Sequence
from typing import NamedTuple

from inception_tf.nets import specs


class Size(NamedTuple):
    """Numbers in the weights at width 1; tests/unit/test_nets_sizes.py counts them anew.

    rest: outside the blocks, without the classifier.
    blocks: in one block of the stages A, B, C (a mean where they differ: inception_v3).
    features: that the classifier takes.
    repeats: blocks per stage in the figure.
    """

    rest: int
    blocks: tuple[int, int, int]
    features: int
    repeats: tuple[int, int, int]


SIZES = {
    "inception_v3": Size(
        2_651_792, (398_576, 1_701_168, 5_503_776), 2048, specs.INCEPTION_V3.repeats),
    "inception_v4": Size(
        5_662_688, (318_240, 2_938_528, 4_556_352), 1536, specs.INCEPTION_V4.repeats),
    "inception_resnet_v1": Size(
        5_675_408, (77_632, 690_560, 1_601_536), 1792, specs.INCEPTION_RESNET_V1.repeats),
    "inception_resnet_v2": Size(
        7_442_560, (137_808, 1_172_576, 2_089_600), 2144, specs.INCEPTION_RESNET_V2.repeats),
    "inception_resnet_v2_released": Size(
        10_190_656, (123_408, 1_127_456, 2_036_288), 1536,
        specs.INCEPTION_RESNET_V2_RELEASED.repeats),
}


def num_parameters(name: str, repeats: Sequence[int] = (), width: float = 1.0,
                   classes: int = 1000) -> int:
    """Numbers in the weights of a network without auxiliary head, to a few per cent.

    Filters grow with `width`, kernels with its square. Below a width of 0.1 rounding makes them
    larger than this.
    """
    size = SIZES[name]
    blocks = sum(n * of for n, of in zip(repeats or size.repeats, size.blocks, strict=True))
    return int((size.rest + blocks) * width**2) + int(size.features * width + 1) * classes


def image_bytes(image_size: int) -> int:
    """Bytes of one float32 image."""
    return 12 * image_size**2


def pass_bytes(image_size: int, width: float = 1.0) -> int:
    """Bytes that one image takes at least in a forward pass.

    The image twice, and the third convolution of every stem (64 filters on a grid of half the
    side) before and after its batch norm. Measured on a CPU: 1.1 to 1.3 times this (width 0.25
    to 1).
    """
    return 2 * image_bytes(image_size) + int(2 * 64 * width * image_size**2)
