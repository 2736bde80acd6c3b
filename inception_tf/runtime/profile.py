"""A TensorBoard profile of a few steps."""

import math
import os
import re

import tensorflow as tf

from inception_tf.errors import UsageError


class StepProfile:
    """Profiles the steps A to B of "A-B" (counted from 1) into a folder; "" profiles none.

    Raises: UsageError when the text is no such range.
    """

    def __init__(self, text: str, folder: str) -> None:
        match = re.fullmatch(r"([1-9]\d{0,17})-([1-9]\d{0,17})", text)
        if text and (not match or int(match[1]) > int(match[2])):
            raise UsageError(f"--profile_steps={text!r} is not a range of steps such as 10-15")
        # Completed steps at which it begins and ends.
        self._edges = (int(match[1]) - 1, int(match[2])) if match else ()
        self._folder, self._running = folder, False

    def require_within(self, total: int) -> None:
        """Raises UsageError when a run of `total` steps ends before the profile does."""
        if self._edges and self._edges[1] > total:
            raise UsageError(f"--profile_steps={self._edges[0] + 1}-{self._edges[1]} goes beyond "
                             f"the run's end at step {total}")

    def left(self, step: int) -> float:
        """Steps from `step` to where the profile begins or ends next; infinite when never."""
        return min((edge - step for edge in self._edges if edge > step), default=math.inf)

    def is_edge(self, step: int) -> bool:
        """Whether the profile begins or ends after `step` completed steps."""
        return step in self._edges

    def at(self, step: int) -> None:
        """To be called between steps, with how many are completed."""
        if self._edges and step == self._edges[0]:
            tf.profiler.experimental.start(self._folder)
            self._running = True
        elif self._edges and step == self._edges[1]:
            self.close()

    def close(self) -> None:
        """Writes the profile if one is running."""
        if self._running:
            # It would make a folder that was removed during the run.
            tf.profiler.experimental.stop(save=os.path.isdir(os.path.dirname(self._folder)))
            self._running = False
