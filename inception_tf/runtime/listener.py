"""The thread that hears of a stop signal even where the main thread does not.

Python runs a signal's handler in the main thread, between two of its own instructions: never while
that thread is inside TensorFlow, waiting for a read that hangs. The C half of the handler writes
the signal's number into a pipe at once (signal.set_wakeup_fd), from which this thread reads it. It
ends the process where the main thread does not.
"""

import _thread
import collections
import contextlib
import faulthandler
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from inception_tf.errors import InceptionError

WATCHED = (signal.SIGTERM, signal.SIGINT)
# docs/reliability.md promises an end within 30 s.
GRACE_SECONDS = 25.0
# What Python's own end may take; a thread that hangs would keep it for ever.
END_SECONDS = 5.0
# A process that computes is in a long update. One that used less of a core than this share for
# so many seconds waits for something; one whose reads hang uses a tenth of it.
IDLE_SHARE = 0.02
IDLE_SECONDS = 5.0


class Interrupted(InceptionError):
    """A signal asked the run to stop; its exit code is 128 plus the signal's number.

    stands: what remains of the run; asked when the line is printed, after the last save.
    """

    def __init__(self, number: int, stands: Callable[[], str] = str):
        super().__init__(number)
        self.exit_code, self._stands = 128 + number, stands

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.exit_code - 128).name}" + _after(self._stands())


class Listener:
    """What this process was told, and the thread that sees to its end.

    received: the signal that the main thread knows of.
    exit_code: of a command that is over.
    section: the innermost StopSignals.
    """

    patient = 0  # contexts of `patience` that are open

    def __init__(self):
        self.received: int | None = None
        self.exit_code: int | None = None
        self.section: Any = None
        self.has_acted = self._is_deferred = False
        self._since = 0.0
        self._heard = []
        self._used = collections.deque()
        self._leaving = threading.RLock()

    def open(self) -> None:
        self._handlers = {number: signal.getsignal(number) for number in WATCHED}
        self._stderr = os.dup(2)  # of its own: imports of TensorFlow divert descriptor 2
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._outer_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, name="stop signals", daemon=True).start()

    def close(self) -> None:
        signal.set_wakeup_fd(self._outer_wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: set by native code
        os.close(self._writer)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The handler: acts as the section says, once, and where that is heard.

        A signal that was sent twice may come here, or to the pipe, once.
        """
        if number == signal.SIGINT and self.received == signal.SIGINT:
            self._end_at_once()
        self.received = self.received or number
        act = None if self.has_acted else self.section.act
        self._is_deferred = act == self.section.interrupt and _swallows(frame)
        if act and not self._is_deferred:
            self.has_acted = True
            act()

    def restart_clock(self) -> None:
        """Gives what comes now GRACE_SECONDS of its own, if the end has begun."""
        self._since = time.monotonic()
        os.write(self._writer, b"\0")

    def leave(self, exit_code: int, text: str) -> None:
        """Ends the process with a line; who comes second waits for that."""
        with self._leaving, contextlib.suppress(OSError):
            line = "\n" * os.isatty(self._stderr) + f"error: {text}\n"
            os.write(self._stderr, line.encode(errors="backslashreplace"))
        os._exit(exit_code)

    def _listen(self):
        while True:
            ending = self._heard or self.exit_code is not None
            if self._is_deferred:
                time.sleep(0.1)
                # SIGTERM, as this comes to the pipe too, where a second SIGINT would count.
                _thread.interrupt_main(signal.SIGTERM)
            if select.select([self._reader], [], [], 0.5 if ending else None)[0]:
                numbers = os.read(self._reader, 64)
                if not numbers:
                    break
                self._hear(numbers)
            if ending:
                self._look()
        os.close(self._reader)
        os.close(self._stderr)

    def _hear(self, numbers):
        if not self._heard and self.exit_code is None:
            self._since = time.monotonic()
        self._heard += [number for number in numbers if number in WATCHED]
        if self._heard.count(signal.SIGINT) > 1:
            self._end_at_once()

    def _look(self):
        now = time.monotonic()
        self._used.append((now, time.process_time()))
        while self._used[0][0] < now - IDLE_SECONDS:
            self._used.popleft()
        if self.patient:
            self._since = now
        if self.exit_code is not None and now - self._since > END_SECONDS:
            os._exit(self.exit_code)
        if now - self._since < GRACE_SECONDS:
            return
        if self.section.act is None and not self._is_idle():
            return  # noted only
        faulthandler.dump_traceback(file=self._stderr, all_threads=True)
        error = Interrupted(self._heard[0], self._stands)
        self.leave(error.exit_code, f"{error} (it hung: where every thread was is above)")

    def _is_idle(self):
        (start, used_then), (end, used) = self._used[0], self._used[-1]
        return used - used_then < IDLE_SHARE * (end - start)

    def _end_at_once(self):
        self.leave(128 + signal.SIGINT, "ended at once by a second SIGINT" + _after(self._stands()))

    def _stands(self):
        """What the section says; nothing where that hangs too, as a disk may."""
        said = []
        thread = threading.Thread(target=lambda: said.append(self.section.stands()), daemon=True)
        thread.start()
        thread.join(1.0)
        return "".join(said)


def _swallows(frame):
    """Whether an exception raised in `frame` may be lost: lazy imports, __del__."""
    while frame:
        code, frame = frame.f_code, frame.f_back
        if code.co_filename.startswith("<frozen importlib") or code.co_name == "__del__":
            return True
    return False


def _after(stands):
    return f": {stands}" * bool(stands)
