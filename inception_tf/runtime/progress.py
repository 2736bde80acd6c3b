"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import contextlib
import logging
import sys
import time

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from inception_tf.text import printable

log = logging.getLogger("inception_tf")

# Share of the time from which on a progress line says that steps wait for input.
SHOWN_WAIT = 0.02


def bar(iterable, total, unit, description):
    """`iterable` with a tqdm bar on a terminal, and without one elsewhere."""
    return tqdm(iterable, total=total, unit=unit, desc=printable(description), leave=False,
                disable=not sys.stderr.isatty())


class StepProgress:
    """One line per interval of a training run: step, rate, numbers, time left."""

    def __init__(self, total_steps, start_step, images_per_step):
        self.total, self.images = total_steps, images_per_step
        self._bar = tqdm(total=total_steps, initial=start_step, unit="step",
                         disable=not sys.stderr.isatty(), dynamic_ncols=True)
        self._redirect = logging_redirect_tqdm()
        self._redirect.__enter__()
        self.restart_clock(start_step)

    def advance(self):
        """One more step is done."""
        self._bar.update(1)

    @contextlib.contextmanager
    def waiting(self):
        """What happens inside is waiting for input."""
        started = time.monotonic()
        yield
        self._waited += time.monotonic() - started

    def report(self, step, values):
        """Logs `values` (name -> number) of `step`; returns images per second since last time."""
        last_step, last_time = self._last
        elapsed = time.monotonic() - last_time
        seconds = elapsed / max(1, step - last_step)
        waited = self._waited / elapsed
        self.restart_clock(step)
        rate = self.images / seconds
        left = duration((self.total - step) * seconds)
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        if waited >= SHOWN_WAIT:
            text += f"  {waited:.0%} waiting for input"
        log.info("step %d/%d  %s  %.3g images/s  ETA %s", step, self.total, text, rate, left)
        return rate

    def restart_clock(self, step):
        """Leaves what happened since the last report (scoring, saving) out of the rate."""
        self._last, self._waited = (step, time.monotonic()), 0.0

    def close(self):
        """Ends the bar."""
        self._redirect.__exit__(None, None, None)
        self._bar.close()


def scoring_line(epoch, values):
    """What a scoring found (training/loop.py's values), in one line."""
    percent = {name: 100 * value for name, value in values.items() if name.endswith("error")}
    return (f"epoch {epoch:.2f}  validation on {values['num_examples']} images: top-1 error "
            f"{percent['ema_top1_error']:.2f} % (raw {percent['raw_top1_error']:.2f} %), top-5 "
            f"error {percent['ema_top5_error']:.2f} % (raw {percent['raw_top5_error']:.2f} %)")


def duration(seconds):
    """'2d03h', '3h12m', '4m05s', '12s'."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"
