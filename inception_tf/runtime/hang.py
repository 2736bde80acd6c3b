"""A run that hangs: all threads' stacks in its log, then exit code 7."""

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from inception_tf.errors import StalledError

log = logging.getLogger("inception_tf")


class StallWatchdog:
    """Context that ends the process when `beat` was not called for `timeout_s` seconds.

    From a thread, at once, with StalledError's exit code: the main thread hangs somewhere
    in TensorFlow, in a file system or in a peer, so no exception could reach it. Nothing is
    lost by that: checkpoints are complete or absent. 0 seconds: never.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._last = time.monotonic()
        self._ended = threading.Event()

    def __enter__(self) -> "StallWatchdog":
        self.beat()
        if self.timeout_s:
            threading.Thread(target=self._watch, name="stall watchdog", daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()

    def beat(self) -> None:
        """Something was completed."""
        self._last = time.monotonic()

    def over(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yields `items`; each that is asked for completes the one before."""
        for item in items:
            self.beat()
            yield item
        self.beat()

    def _watch(self):
        while not self._ended.wait(min(1.0, self.timeout_s / 10)):
            silent = time.monotonic() - self._last
            if silent > self.timeout_s:
                self._end(silent)

    def _end(self, silent):
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        log.error("error: nothing completed for %.0f s (--stall_timeout_s=%g); where every "
                  "thread stands is above", silent, self.timeout_s)
        os._exit(StalledError.exit_code)
