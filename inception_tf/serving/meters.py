"""What a server counts of its work, in the text form of Prometheus."""

from collections.abc import Callable
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


class Meters:
    """Counters of one server.

    Args:
        waiting: gives the number of pictures that are accepted and not answered.
    """

    CONTENT_TYPE = CONTENT_TYPE_LATEST

    def __init__(self, waiting: Callable[[], int]) -> None:
        disable_created_metrics()  # the time of each counter's first count, beside it
        self._registry = CollectorRegistry()
        common: Any = {"namespace": "inception_tf", "registry": self._registry}
        self._requests = Counter("requests", "Answers by path and code; 499: the client left.",
                                 ["path", "code"], **common)
        self._seconds = Histogram("request_seconds", "From the head of a request to its answer.",
                                  ["path"], **common)
        self._batches = Histogram("batch_size", "Pictures that went through the network together.",
                                  buckets=_BATCHES, **common)
        self._network = Histogram("network_seconds", "Of the network, a batch.", **common)
        Gauge("waiting_pictures", "Accepted and not answered.", **common).set_function(waiting)

    def count_request(self, path: str, code: int, seconds: float) -> None:
        """One answer with HTTP status `code`, `seconds` after the request's head."""
        self._requests.labels(path, code).inc()
        self._seconds.labels(path).observe(seconds)

    def count_batch(self, size: int, seconds: float) -> None:
        """One batch of `size` pictures that took the network `seconds`."""
        self._batches.observe(size)
        self._network.observe(seconds)

    def text(self) -> bytes:
        """All counters, as Prometheus scrapes them."""
        return generate_latest(self._registry)
