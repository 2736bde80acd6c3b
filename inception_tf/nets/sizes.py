"""How large a network is, by arithmetic: known before any of it is built."""

from collections.abc import Sequence

from inception_tf import nets


def num_parameters(name: str, repeats: Sequence[int] = (), width: float = 1.0,
                   classes: int = 1000) -> int:
    """Numbers in the weights of a network without auxiliary head, to a few per cent.

    Args:
        name: in NETWORKS.
        repeats: blocks of each stage A, B, C; empty: the figure's.
        width: filters grow with it, kernels with its square. Below 0.1 rounding makes them larger
            than this.
        classes: outputs of the classifier.
    """
    spec = nets.spec_of(name)
    blocks = sum(number * weights for number, weights in zip(
        repeats or spec.repeats, spec.weights_of_blocks, strict=True))
    return int((spec.other_weights + blocks) * width**2) + int(spec.features * width + 1) * classes


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
