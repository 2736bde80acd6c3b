"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from inception_tf.text import printable

log = logging.getLogger("inception_tf")

# Between two lines of progress where no bar can be drawn; shorter work has none.
LINE_SECONDS = 30.0
# Share of the time from which on a progress line says that steps wait for input.
SHOWN_WAIT = 0.02
# A device that takes no longer than this to answer had nothing to do.
AT_ONCE_SECONDS = 0.001


def bar(iterable: Iterable[Any], total: int, unit: str, description: str,
        is_quiet: bool = False) -> tqdm:
    """`iterable` with a bar on a terminal; elsewhere with a log line every LINE_SECONDS.

    Args:
        iterable: what to go through.
        total: its items.
        unit: what one of them is called.
        description: in front of the bar or the line.
        is_quiet: show nothing: another worker does.
    """
    if not sys.stderr.isatty() and not is_quiet:
        return _Lines(iterable, total, unit, description)
    return tqdm(iterable, total=total, unit=unit, desc=printable(description), leave=False,
                disable=is_quiet)


class _Lines(tqdm):
    """A bar that is lines in the log."""

    monitor_interval = 0  # no thread that redraws it

    def __init__(self, iterable, total, unit, description):
        super().__init__(iterable, total=total, disable=True)
        self._unit, self._description = unit, description

    def __iter__(self):
        started = last = time.monotonic()
        for done, item in enumerate(self.iterable):
            now = time.monotonic()
            if done and now - last >= LINE_SECONDS:
                last, rate = now, done / (now - started)
                log.info("%s: %s %d of %d, %.3g/s, %s left", self._description, self._unit, done,
                         self.total, rate, duration((self.total - done) / rate))
            yield item


@contextlib.contextmanager
def working(description: str) -> Iterator[None]:
    """Shows for how long the work inside, which has no parts to count, is going on.

    On a terminal a line that counts the seconds, elsewhere a log line every LINE_SECONDS.
    """
    on_terminal, over = sys.stderr.isatty(), threading.Event()
    line = tqdm(desc=printable(description), bar_format="{desc}, {elapsed}", leave=False,
                disable=not on_terminal)
    started = time.monotonic()

    def report():
        while not over.wait(1.0 if on_terminal else LINE_SECONDS):
            line.refresh()
            if not on_terminal:
                log.info("%s, %s so far", description, duration(time.monotonic() - started))

    reporter = threading.Thread(target=report, name="progress", daemon=True)
    with logging_redirect_tqdm() if on_terminal else contextlib.nullcontext():
        reporter.start()
        try:
            yield
        finally:
            over.set()
            reporter.join()
            line.close()


class StepProgress:
    """One line per interval of a training run: step, rate, numbers, time left.

    Args:
        total_steps: of the run.
        start_step: steps completed before.
        images_per_step: the global batch.
        scoring_steps: updates between two scorings; one more follows the last update.
        is_quiet: no lines.
    """

    def __init__(self, total_steps: int, start_step: int, images_per_step: int,
                 scoring_steps: int, is_quiet: bool = False) -> None:
        self.total, self.images, self._is_quiet = total_steps, images_per_step, is_quiet
        self._scoring_steps, self._scoring_seconds = scoring_steps, 0.0
        self._bar = tqdm(total=total_steps, initial=start_step, unit="step",
                         disable=not sys.stderr.isatty(), dynamic_ncols=True)
        self._redirect = logging_redirect_tqdm()
        self._redirect.__enter__()
        self.restart_clock(start_step)

    def advance(self) -> None:
        """One more step is done."""
        self._bar.update(1)

    @contextlib.contextmanager
    def waiting(self, is_computing: bool = False) -> Iterator[None]:
        """What happens inside is waiting for input; the device computes meanwhile, or waits too."""
        started = time.monotonic()
        yield
        waited = time.monotonic() - started
        self._waited += 0.0 if is_computing else waited
        self._waited_beside = waited if is_computing else 0.0

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """What happens inside is waiting for the device, unless that has waited for input."""
        started = time.monotonic()
        yield
        if time.monotonic() - started < AT_ONCE_SECONDS:
            self._waited += self._waited_beside
        self._waited_beside = 0.0

    @contextlib.contextmanager
    def scoring(self) -> Iterator[None]:
        """What happens inside is a scoring; the time left counts as much for each to come."""
        started = time.monotonic()
        yield
        self._scoring_seconds = time.monotonic() - started

    def _scorings_after(self, step):
        # That of `step` itself comes after its line.
        return -(-self.total // self._scoring_steps) - (step - 1) // self._scoring_steps

    def report(self, step: int, values: Mapping[str, float]) -> float:
        """Logs `values` (name -> number) of `step`; returns images per second since last time."""
        last_step, last_time = self._last
        elapsed = time.monotonic() - last_time
        seconds = elapsed / max(1, step - last_step)
        waited = self._waited / elapsed
        self.restart_clock(step)
        rate = self.images / seconds
        left = duration((self.total - step) * seconds
                        + self._scorings_after(step) * self._scoring_seconds)
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        if waited >= SHOWN_WAIT:
            text += f"  {waited:.0%} waiting for input"
        if not self._is_quiet:
            log.info("step %d/%d  %s  %.3g images/s  ETA %s", step, self.total, text, rate, left)
        return rate

    def restart_clock(self, step: int) -> None:
        """Leaves what happened since the last report (scoring, saving) out of the rate."""
        self._last = (step, time.monotonic())
        self._waited, self._waited_beside = 0.0, 0.0

    def close(self) -> None:
        """Ends the bar."""
        self._redirect.__exit__(None, None, None)
        self._bar.close()


def scoring_line(values: Mapping[str, float]) -> str:
    """What a scoring of a training run found, in one line."""
    percent = {name: f"{100 * value:.2f} %" for name, value in values.items()
               if name.endswith("error")}
    return (f"epoch {values['epoch']:.2f}  validation on {values['num_examples']} images: "
            f"top-1 error {percent['ema_top1_error']} (raw {percent['raw_top1_error']}), "
            f"top-5 error {percent['ema_top5_error']} (raw {percent['raw_top5_error']})")


def duration(seconds: float) -> str:
    """'2d03h', '3h12m', '4m05s', '12s'."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"
