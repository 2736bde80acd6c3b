"""Which figure of the paper (arXiv 1602.07261) a drawing shows, and what the figure misprints."""

from typing import NamedTuple

from inception_tf.figures.boxes import base_of


class Misprint(NamedTuple):
    """What a figure prints and the network is not.

    Attributes:
        layers: first layers of the boxes it is about, by the end of their names; none: the
            whole figure.
        text: what is printed.
        point: of docs/errata.md.
    """

    layers: tuple[str, ...]
    text: str
    point: str


_STEM_V4 = (
    Misprint(("_5_long_7_1", "_5_long_7_2"), "draws the 7x1 first", "C6"),
    Misprint(("_6_3x3",), "leaves out the stride", "C3"),
    Misprint(("_6_pool",), "leaves out the kernel", "C4"),
)

# Network -> block, or "" for the whole -> number of the figure.
FIGURES = {
    "inception_v4": {
        "": 9, "stem": 3, "inception_a": 4, "inception_b": 5, "inception_c": 6,
        "reduction_a": 7, "reduction_b": 8,
    },
    "inception_resnet_v1": {
        "": 15, "stem": 14, "inception_resnet_a": 10, "inception_resnet_b": 11,
        "inception_resnet_c": 13, "reduction_a": 7, "reduction_b": 12,
    },
    "inception_resnet_v2": {
        "": 15, "stem": 3, "inception_resnet_a": 16, "inception_resnet_b": 17,
        "inception_resnet_c": 19, "reduction_a": 7, "reduction_b": 18,
    },
}

# The same, with what is misprinted.
MISPRINTS = {
    "inception_v4": {
        "stem": _STEM_V4,
        "inception_b": (
            Misprint(("_short_7x1",), "prints a second 1x7", "C5"),
            Misprint(("_long_7_1", "_long_7_2", "_long_7_3", "_long_7_4"), "draws 1x7 first",
                     "C6"),
        ),
        "inception_c": (
            Misprint(("_long_3_1", "_long_3_2"), "draws the 1x3 first", "C6"),
        ),
    },
    "inception_resnet_v2": {
        "": (Misprint((), "draws 5/10/5 blocks, which cost less than section 3.2 says", "C8"),),
        "stem": _STEM_V4,
        "inception_resnet_b": (Misprint(("_linear",), "prints 1154 filters", "C1"),),
        "reduction_b": (Misprint((), "is captioned as the Reduction-B of v1", "C7"),),
        "inception_resnet_c": (Misprint(("_linear",), "prints 2048 filters", "C2"),),
    },
}


def figure_of(network: str, block: str) -> int | None:
    """Number of the figure that shows `block` ("": the whole) of `network`, or None."""
    return FIGURES.get(network, {}).get(base_of(block))


def misprints_of(network: str, block: str) -> tuple[Misprint, ...]:
    """What that figure misprints."""
    return MISPRINTS.get(network, {}).get(base_of(block), ())
