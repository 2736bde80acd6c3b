"""Pictures of many requests through one network, in batches of whatever waits."""

import collections
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from inception_tf.serving.runtimes import Probabilities


class Batcher:
    """Answers images in batches of all that wait, up to `max_batch`, whenever the network is free.

    One thread runs the network. There is no timer: an image that comes alone is a batch of one
    at once, and those that come meanwhile are the next batch.

    Args:
        probabilities: the network.
        max_batch: images of one batch at most.
        observe: told the images and the seconds of each batch.
    """

    def __init__(self, probabilities: Probabilities, max_batch: int,
                 observe: Callable[[int, float], None]) -> None:
        self._probabilities, self._max_batch, self._observe = probabilities, max_batch, observe
        self._waiting: collections.deque[tuple[np.ndarray, Future]] = collections.deque()
        self._network = ThreadPoolExecutor(1, "network")

    def submit(self, image: np.ndarray) -> Future:
        """A Future of the probabilities [K] of an image [S, S, 3] float32 in [-1, 1].

        Cancelled before its batch begins, it costs nothing. It raises what the network raises.
        """
        future: Future = Future()
        self._waiting.append((image, future))
        # Once an image: it finds what waits then, or nothing where a batch before took it along.
        self._network.submit(self._answer_waiting)
        return future

    def close(self) -> None:
        """Answers what waits and ends the thread."""
        self._network.shutdown()

    def _answer_waiting(self):
        if not (batch := self._take()):
            return
        started = time.perf_counter()
        try:
            answers = self._probabilities(np.stack([image for image, _ in batch]))
        except Exception as error:  # each runtime has its own
            for _, future in batch:
                future.set_exception(error)
        else:
            self._observe(len(batch), time.perf_counter() - started)
            for (_, future), answer in zip(batch, answers, strict=True):
                future.set_result(answer)

    def _take(self):
        """The images of the next batch, but for those that nobody waits for any more."""
        taken = []
        while self._waiting and len(taken) < self._max_batch:
            image, future = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                taken.append((image, future))
        return taken
