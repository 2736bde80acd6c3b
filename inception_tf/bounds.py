"""What values a setting admits: declared with the setting, checked before anything is done."""

import dataclasses
import math

from inception_tf.errors import UsageError

# Beyond these something overflows: 32-bit integers and floats of TensorFlow, waits of the system,
# 64 bits where epochs are multiplied by a billion images. They bound what declares no less.
MAX_INT, MAX_FLOAT = 2**31 - 1, 1e30
MAX_EPOCHS, MAX_SECONDS, MAX_BATCH = 1e9, 1e7, 2**20


def option(default, help, choices=None, low=None, high=None, path=False):
    """A config field: its default, its flag's help, and what values it admits.

    `choices` lists the values allowed; `low` and `high` bound them inclusively. `path` marks
    names of files and folders, for which `flags.parse` has rules of their own.
    """
    return dataclasses.field(default=default, metadata={
        "help": help, "choices": choices, "low": low, "high": high, "path": path})


def check_value(name, value, choices=None, low=None, high=None):
    """Raises UsageError unless the value of flag `name`, of a tuple each, is admitted."""
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
