"""What can go wrong, each with the exit code a supervisor sees.

0 done, 2 configuration or usage, 3 no usable checkpoint, 4 storage,
5 non-finite numbers, 6 data, 7 stalled, 8 peer lost. 130 and 143 are SIGINT and
SIGTERM after a saved checkpoint; 128 plus its number is any signal that killed a process.
`can_pass` says after which of them a supervisor may start the same command again.
A message is one line: what was wrong, the value received, what to do.
"""

import contextlib
import signal
from collections.abc import Iterator


class InceptionError(Exception):
    """An error that ends a command with `exit_code` and one line."""

    exit_code = 1


class UsageError(InceptionError):
    """A flag, a configuration or a file that the user can correct."""

    exit_code = 2


@contextlib.contextmanager
def usage_errors_of(kind: type[Exception]) -> Iterator[None]:
    """Errors of class `kind` inside become UsageErrors of the same text."""
    try:
        yield
    except kind as error:
        raise UsageError(str(error)) from None


class CheckpointError(InceptionError):
    """Checkpoints exist but none can be used."""

    exit_code = 3


class StorageError(InceptionError):
    """A result could not be written."""

    exit_code = 4


class NonFiniteError(InceptionError):
    """A loss, gradient, variable or answer is NaN or infinite."""

    exit_code = 5


class DataError(InceptionError):
    """The data set is broken, or more examples are bad than allowed."""

    exit_code = 6


class StalledError(InceptionError):
    """Nothing was completed for --stall_timeout_s; ends the process from a thread."""

    exit_code = 7


class PeerLostError(InceptionError):
    """Another worker died or stopped answering."""

    exit_code = 8


def can_pass(exit_code: int) -> bool:
    """Whether the same command may succeed when it is started again.

    True for storage errors, a stall, a lost peer, and a process killed by a signal (by the memory
    killer, a driver, or SIGTERM when a machine is taken away). Other errors would come back, and
    SIGINT comes from a person.
    """
    restartable = (StorageError.exit_code, StalledError.exit_code, PeerLostError.exit_code)
    return exit_code in restartable or exit_code > 128 and exit_code != 128 + signal.SIGINT
