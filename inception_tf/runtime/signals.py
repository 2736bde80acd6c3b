"""SIGTERM and SIGINT: finish what is in hand, save, leave with 143 or 130. And leave in any case.

Python runs a signal's handler in the main thread, between two of its own instructions: never while
that thread is inside TensorFlow, waiting for a read that hangs. The C half of the handler writes
the signal's number into a pipe at once (signal.set_wakeup_fd), from which a thread of ours reads
it. It ends the process where the main thread does not.
"""

import collections
import contextlib
import faulthandler
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping

from inception_tf.errors import InceptionError

_WATCHED = (signal.SIGTERM, signal.SIGINT)
# Docs/reliability.md promises an end within 30 s.
GRACE_SECONDS = 25.0
# A process that computes is in a long update. One that used less of a core than this share for
# so many seconds waits for something; one whose reads hang uses a tenth of it.
IDLE_SHARE = 0.02
IDLE_SECONDS = 5
# Environment variable: id of the process whose end a worker does not outlive.
PARENT = "INCEPTION_TF_PARENT"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Interrupted(InceptionError):
    """A signal asked the run to stop; its exit code is 128 plus the signal's number.

    stands: what remains of the run; asked when the line is printed, after the last save.
    """

    def __init__(self, number: int, stands: Callable[[], str] = str):
        super().__init__(number)
        self.exit_code, self._stands = 128 + number, stands

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.exit_code - 128).name}" + _after(self._stands())


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
        self._listener = _Listener()

    def __enter__(self) -> "StopSignals":
        self._outer, StopSignals.innermost = StopSignals.innermost, self
        self._listener = self._outer._listener if self._outer else _Listener()
        if not self._outer:
            self._listener.open()
            self.watch()
        return self

    def __exit__(self, *exception: object) -> None:
        StopSignals.innermost = self._outer
        if self._outer:
            self._listener.restart_clock()
        else:
            self._listener.close()

    def watch(self) -> None:
        """Takes the signals (again: MultiWorkerMirroredStrategy puts its own handler in).

        That handler only tells TensorFlow's preemption service; SIGTERM was then ignored.
        """
        for number in _WATCHED:
            signal.signal(number, _handle)

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
        return Interrupted(self.received or signal.SIGTERM, self.stands)

    def end_with(self, exit_code: int) -> None:
        """The command is over: a thread that hangs keeps the process for GRACE_SECONDS at most."""
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
    _Listener.patient += 1
    try:
        yield
    finally:
        _Listener.patient -= 1


def keeper() -> Callable[[], None]:
    """A function for any thread that gives the signals back to the handlers of now.

    TensorFlow takes SIGTERM while it forms a cluster, and signal.signal is for the main thread.
    """
    import ctypes

    get, put = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
    get.restype, put.argtypes, put.restype = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p), None
    handlers = {number: get(number) for number in _WATCHED}

    def give_back():
        for number, handler in handlers.items():
            put(number, handler)

    return give_back


def _handle(number, frame):
    if StopSignals.innermost:
        StopSignals.innermost._listener.receive(number)
        if StopSignals.innermost.act:
            StopSignals.innermost.act()


class _Listener:
    """What this process was told, and the thread that sees to its end.

    received: the signal that the main thread knows of.
    """

    patient = 0

    def __init__(self):
        self.received = self.exit_code = None
        self._since = 0.0
        self._heard = []
        self._used = collections.deque(maxlen=IDLE_SECONDS + 1)
        self._leaving = threading.RLock()

    def open(self):
        self._handlers = {number: signal.getsignal(number) for number in _WATCHED}
        self._stderr = os.dup(2)  # of its own: imports of TensorFlow divert descriptor 2
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._outer_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, name="stop signals", daemon=True).start()

    def close(self):
        signal.set_wakeup_fd(self._outer_wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._writer)

    def receive(self, number):
        """In the main thread. A signal that was sent twice may come here, or to the pipe, once."""
        if number == signal.SIGINT and self.received == signal.SIGINT:
            self._end_at_once()
        self.received = self.received or number

    def restart_clock(self):
        """Gives what comes now GRACE_SECONDS of its own, if the end has begun."""
        self._since = time.monotonic()
        os.write(self._writer, b"\0")

    def leave(self, exit_code, text):
        """Ends the process with a line; who comes second waits for that."""
        with self._leaving, contextlib.suppress(OSError):
            line = "\n" * os.isatty(self._stderr) + f"error: {text}\n"
            os.write(self._stderr, line.encode(errors="backslashreplace"))
        os._exit(exit_code)

    def _listen(self):
        while True:
            ending = self._heard or self.exit_code is not None
            if select.select([self._reader], [], [], 1.0 if ending else None)[0]:
                numbers = os.read(self._reader, 64)
                if not numbers:
                    break
                self._hear(numbers)
            if ending:
                self._look()
        os.close(self._reader)
        os.close(self._stderr)

    def _hear(self, numbers):
        self._heard += [number for number in numbers if number in _WATCHED]
        if self._heard.count(signal.SIGINT) > 1:
            self._end_at_once()
        if len(self._heard) == 1:
            self._since = time.monotonic()

    def _look(self):
        now = time.monotonic()
        self._used.append((now, time.process_time()))
        if self.patient:
            self._since = now
        section = StopSignals.innermost
        noted_only = section is not None and section.act is None
        if now - self._since < GRACE_SECONDS or noted_only and not self._is_idle():
            return
        if self.exit_code is not None:
            os._exit(self.exit_code)
        faulthandler.dump_traceback(file=self._stderr, all_threads=True)
        error = Interrupted(self._heard[0], _stands)
        self.leave(error.exit_code, f"{error} (it hung: where every thread was is above)")

    def _is_idle(self):
        (start, used_then), (end, used) = self._used[0], self._used[-1]
        return len(self._used) > IDLE_SECONDS and used - used_then < IDLE_SHARE * (end - start)

    def _end_at_once(self):
        self.leave(128 + signal.SIGINT, "ended at once by a second SIGINT" + _after(_stands()))


def _stands():
    """What the innermost context says of itself; nothing where that hangs too, as a disk may."""
    said = []
    ask = StopSignals.innermost.stands if StopSignals.innermost else str
    thread = threading.Thread(target=lambda: said.append(ask()), daemon=True)
    thread.start()
    thread.join(1.0)
    return "".join(said)


def _after(stands):
    return f": {stands}" * bool(stands)
