"""What varies across the networks, as tables; their topology is in code.

Sources: [P] arXiv 1602.07261, [S] the released TF-slim code, [F] facenet.
"""

import dataclasses
import math
import numbers
from collections.abc import Callable, Iterable

import numpy as np

# Side of the smallest square input whose grids stay above zero; keras.applications' too.
MIN_IMAGE_SIZE = 75
# Side of the input of the paper [P].
IMAGE_SIZE = 299


@dataclasses.dataclass(frozen=True)
class ReductionA:
    """A row of Table 1 [P]: filters of Figure 7."""

    k: int
    l: int  # noqa: E741 (the paper's letter)
    m: int
    n: int


@dataclasses.dataclass(frozen=True)
class Initializers:
    """How kernels start [S]; None of `aux_conv`: like every convolution."""

    conv: str
    logits: str
    aux_logits: str | dict
    aux_conv: dict | None = None


@dataclasses.dataclass(frozen=True)
class Spec:
    """One network: how often its blocks repeat, and what else a table can hold."""

    repeats: tuple[int, int, int]
    initializers: Initializers
    reduction_a: ReductionA | None = None
    residual_scales: tuple[float, float, float] | None = None


def _truncated_normal(stddev):
    return {"class_name": "TruncatedNormal", "config": {"stddev": stddev}}


# TF-slim's variance_scaling_initializer (v3, v4) is he_normal; what names no
# initializer there (v4's dense layers, all of the residual nets) is Xavier uniform.
_V3 = Initializers("he_normal", "he_normal", _truncated_normal(0.001), _truncated_normal(0.01))
_V4 = Initializers("he_normal", "glorot_uniform", "glorot_uniform")
_RESNET = Initializers("glorot_uniform", "glorot_uniform", "glorot_uniform")

# The paper says 0.1 to 0.3 for v2 and nothing for v1; these are [S] and [F].
_SCALES = (0.17, 0.10, 0.20)

INCEPTION_V3 = Spec((3, 4, 2), _V3)
INCEPTION_V4 = Spec((4, 7, 3), _V4, ReductionA(k=192, l=224, m=256, n=384))
INCEPTION_RESNET_V1 = Spec((5, 10, 5), _RESNET, ReductionA(k=192, l=192, m=256, n=384), _SCALES)
INCEPTION_RESNET_V2 = Spec((5, 10, 5), _RESNET, ReductionA(k=256, l=256, m=384, n=384), _SCALES)
INCEPTION_RESNET_V2_RELEASED = dataclasses.replace(INCEPTION_RESNET_V2, repeats=(10, 20, 10))

# Inception-v3 alone varies its blocks along a stage [S]. Blocks past the table's end
# take its last entry.
V3_POOL_FILTERS = (32, 64, 64)
V3_SEVEN_FILTERS = (128, 160, 160, 192)


def number(value, fits: Callable, what: str):
    """`value` as Python's own int or float: Keras takes and saves no NumPy number.

    Raises: ValueError, which begins with `what`, unless it is finite and `fits(value)`.
    """
    value = value.item() if isinstance(value, np.generic) else value
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and fits(value)):
        raise ValueError(f"{what}, got {value!r}")
    return value


def count(value, what: str) -> int:
    """`value` as an int above 0; raises ValueError for anything else."""
    what = f"{what} is a whole number above 0"
    return number(value, lambda v: isinstance(v, int) and v > 0, what)


def triple(given, default, what):
    """`given` as a tuple of three, one per stage A, B, C; `default` when None or empty.

    Raises: ValueError unless there are three numbers, none negative (repeats: whole).
    """
    if given is None or isinstance(given, (tuple, list)) and not given:
        return default
    kind = int if what == "repeats" else (int, float)
    message = f"{what} takes one number per stage A, B, C, none negative"
    if not isinstance(given, Iterable) or len(values := tuple(given)) != 3:
        raise ValueError(f"{message}, got {given!r}")
    return tuple(number(v, lambda v: isinstance(v, kind) and v >= 0, message) for v in values)
