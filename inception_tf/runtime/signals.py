"""SIGTERM and SIGINT: finish what is in hand, save, leave with 143 or 130."""

import os
import signal

from inception_tf.errors import InceptionError

_WATCHED = (signal.SIGTERM, signal.SIGINT)


class Interrupted(InceptionError):
    """A signal asked the run to stop; its exit code is 128 plus the signal's number."""

    def __init__(self, number):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class StopSignals:
    """Context in which a stop signal is noted, and raised only where `check` is called.

    A second SIGINT ends the process at once: checkpoints are complete or absent, so
    nothing is lost but the steps since the last one.
    """

    def __init__(self):
        self._received = None
        self._previous = {}

    def __enter__(self):
        for number in _WATCHED:
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def check(self):
        """Raises Interrupted when a signal came: call it where stopping is safe."""
        if self._received is not None:
            raise Interrupted(self._received)

    def checked(self, iterable):
        """`iterable` with a check before each element."""
        for element in iterable:
            self.check()
            yield element

    def _note(self, number, frame):
        if number == signal.SIGINT and self._received == signal.SIGINT:
            os._exit(128 + number)
        self._received = self._received or number
