"""The values a setting allows: declared with the setting, checked before anything starts."""

import dataclasses
import math
from collections.abc import Collection
from typing import Any

from inception_tf.errors import UsageError

# Beyond these something overflows: TensorFlow's 32-bit numbers, waits of the system, 64 bits
# where epochs are multiplied by a billion images. The first two bound settings without bounds.
MAX_INT, MAX_FLOAT = 2**31 - 1, 1e30
MAX_EPOCHS, MAX_SECONDS, MAX_BATCH = 1e9, 1e7, 2**20


def option(default: Any, help: str, choices: Collection[str] | None = None,
           low: float | None = None, high: float | None = None, path: bool = False) -> Any:
    """A config field.

    Args:
        default: its default.
        help: its flag's help.
        choices: the only values allowed; of a tuple, for each element, as are the bounds.
        low, high: inclusive bounds of a number.
        path: whether it names files or folders, for which `flags.parse` has its own rules.
    """
    return dataclasses.field(default=default, metadata={
        "help": help, "choices": choices, "low": low, "high": high, "path": path})


def check_value(name: str, value: object, choices: Collection[str] | None = None,
                low: float | None = None, high: float | None = None) -> None:
    """Raises UsageError unless the value of flag `name` is allowed.

    Args:
        name, value: the flag and its value.
        choices, low, high: as in `option`.
    """
    for one in value if isinstance(value, tuple) else (value,):
        if choices and one not in choices:
            raise UsageError(f"--{name}={one} is not one of {', '.join(choices)}")
        if isinstance(one, (int, float)) and not isinstance(one, bool):
            _check_number(f"--{name}={one!s:.40}", one, low, high)


def _check_number(what, value, low, high):
    most = MAX_INT if isinstance(value, int) else MAX_FLOAT
    low, high = -most if low is None else low, most if high is None else high
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{what} is not finite")
    if value < low:
        raise UsageError(f"{what} is below {low:.10g}")
    if value > high:
        raise UsageError(f"{what} is above {high:.10g}")
