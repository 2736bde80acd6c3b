"""SIGTERM and SIGINT: finish what is in hand, save, leave with 143 or 130."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, MutableMapping

from inception_tf.runtime.listener import WATCHED, Interrupted, Listener

# Environment variable: id of the process whose end a worker does not outlive.
PARENT = "INCEPTION_TF_PARENT"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class StopSignals:
    """Context in which a stop signal is noted, and raised only where it is safe.

    With several workers the loop tells the others first: a step, or a batch of a
    scoring, spreads `requested`, and all of them call `interrupt` at the same one.

    A second SIGINT ends the process at once: checkpoints are complete or absent, so
    nothing is lost but the steps since the last one. So does the first signal GRACE_SECONDS
    later, with the stacks of all threads, unless the process still computes or has `patience`.

    Contexts inside one another share the signal; the innermost decides what it does.

    stands: what remains of the run, for the line that a signal ends it with.
    """

    innermost: "StopSignals | None" = None

    def __init__(self) -> None:
        self.stands: Callable[[], str] = str
        self.act: Callable[[], None] | None = None
        self._listener = Listener()

    def __enter__(self) -> "StopSignals":
        self._outer, StopSignals.innermost = StopSignals.innermost, self
        self._listener = self._outer._listener if self._outer else Listener()
        self._listener.section = self
        if not self._outer:
            self._listener.open()
        self.watch()  # inside another too: native code may have taken the signals since
        return self

    def __exit__(self, *exception: object) -> None:
        StopSignals.innermost = self._outer
        if self._outer:
            self._listener.section = self._outer
            self._listener.restart_clock()
        else:
            self._listener.close()

    def watch(self) -> None:
        """Takes the signals (again: MultiWorkerMirroredStrategy puts its own handler in).

        That handler only tells TensorFlow's preemption service; SIGTERM was then ignored.
        """
        for number in WATCHED:
            signal.signal(number, self._listener.receive)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Context in which a signal raises Interrupted where it comes: nothing to save yet."""
        with self._acting(self.interrupt):
            if self.requested:
                self.interrupt()
            yield

    @contextlib.contextmanager
    def leaving(self) -> Iterator[None]:
        """Context in which a signal ends the process where it comes: nothing to clean up either.

        For imports: an exception in the middle of one may become another one, or none.
        """
        with self._acting(self._leave):
            yield

    @contextlib.contextmanager
    def _acting(self, act: Callable[[], None]) -> Iterator[None]:
        before, self.act = self.act, act
        try:
            yield
        finally:
            self.act = before

    @property
    def received(self) -> int | None:
        """The signal that came first."""
        return self._listener.received

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self.received is not None

    def interrupt(self) -> None:
        """Raises Interrupted, with the signal received, or SIGTERM when a peer got one."""
        raise self._interrupted()

    def _leave(self) -> None:
        error = self._interrupted()
        self._listener.leave(error.exit_code, str(error))

    def _interrupted(self) -> Interrupted:
        self._listener.has_acted = True
        return Interrupted(self.received or signal.SIGTERM, self.stands)

    def end_with(self, exit_code: int) -> None:
        """The command is over: a thread that hangs keeps the process for END_SECONDS at most."""
        self._listener.exit_code = exit_code
        self._listener.restart_clock()


def to_the_end() -> StopSignals:
    """A StopSignals until the process ends, `leaving` where nothing inside decides otherwise."""
    stop = StopSignals()
    stop.act = stop._leave
    return stop.__enter__()


def end_with_parent(environ: MutableMapping[str, str]) -> None:
    """Has the system kill this process when the one that `PARENT` of `environ` names ends."""
    parent = environ.pop(PARENT, "")
    if parent and sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):  # it ended before that
            os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """`StopSignals.leaving`, where there is a StopSignals."""
    with StopSignals.innermost.leaving() if StopSignals.innermost else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """Context that may take as long as it takes after a signal: a save, workers that save."""
    Listener.patient += 1
    try:
        yield
    finally:
        Listener.patient -= 1


def keeper() -> Callable[[], None]:
    """A function for any thread that gives the signals back to the handlers of now.

    TensorFlow takes SIGTERM while it forms a cluster, and signal.signal is for the main thread.
    """
    import ctypes

    get, put = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
    get.restype, put.argtypes, put.restype = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p), None
    handlers = {number: get(number) for number in WATCHED}

    def give_back():
        for number, handler in handlers.items():
            put(number, handler)

    return give_back
