"""SIGTERM and SIGINT: finish what is in hand, save, leave with 143 or 130."""

import contextlib
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
    """Context in which a stop signal is noted, and raised only where it is safe.

    With several workers the loop tells the others first: a step, or a batch of a
    scoring, spreads `requested`, and all of them call `interrupt` at the same one.

    A second SIGINT ends the process at once: checkpoints are complete or absent, so
    nothing is lost but the steps since the last one.
    """

    def __init__(self):
        self._received = None
        self._at_once = False
        self._previous = {}

    def __enter__(self):
        for number in _WATCHED:
            self._previous[number] = signal.getsignal(number)
        self.watch()
        return self

    def __exit__(self, *exception):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def watch(self):
        """Takes the signals (again: MultiWorkerMirroredStrategy puts its own handler in).

        That handler only tells TensorFlow's preemption service; SIGTERM was then ignored.
        """
        for number in _WATCHED:
            signal.signal(number, self._note)

    @contextlib.contextmanager
    def at_once(self):
        """Context in which a signal raises Interrupted where it comes: nothing to save yet."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    @property
    def requested(self):
        """Whether a signal came."""
        return self._received is not None

    def interrupt(self):
        """Raises Interrupted, with the signal received, or SIGTERM when a peer got one."""
        raise Interrupted(self._received or signal.SIGTERM)

    def _note(self, number, frame):
        if number == signal.SIGINT and self._received == signal.SIGINT:
            os._exit(128 + number)
        self._received = self._received or number
        if self._at_once:
            self.interrupt()
