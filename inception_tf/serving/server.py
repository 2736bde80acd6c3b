"""Serves an application over HTTP until a stop signal; what is in flight is finished then."""

import concurrent.futures
import contextlib
import functools
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from inception_tf.errors import UsageError
from inception_tf.runtime.signals import StopSignals, patience
from inception_tf.serving.intake import Limits
from inception_tf.serving.service import Service

# After a stop signal. Kubernetes kills after 30.
FINISH_SECONDS = 25


@contextlib.contextmanager
def bound_socket(host: str, port: int) -> Iterator[socket.socket]:
    """A socket with that address, to which nobody can connect before it listens.

    Raises: UsageError when there is no such address, or it is taken.
    """
    what = f"--host={host} --port={port}"
    with _refusing(what):
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as bound:
        with _refusing(what):
            # A server that ended a moment ago does not keep its port.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        yield bound


@contextlib.contextmanager
def _refusing(what):
    try:
        yield
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{what} cannot be served at: {why}; choose another") from None


def name_and_version(path: str) -> tuple[str, str]:
    """Of a model, by its path: exports/cats/3 is cats, 3; runs/demo and demo.keras are demo, 1."""
    place = Path(os.path.abspath(path))
    if place.name.isdecimal() and place.parent.name:
        return place.parent.name, place.name
    return place.name.partition(".")[0] if place.is_file() else place.name, "1"


def serve(service: Service, bound: socket.socket, limits: Limits,
          announce: Callable[[str], None]) -> None:
    """Answers until SIGTERM or SIGINT, then finishes what is in flight, FINISH_SECONDS at most.

    Args:
        service: what answers.
        bound: the socket to listen at.
        limits: its limits.
        announce: told once that it listens, with the address.

    Raises: UsageError when another process came to listen there meanwhile.
    """
    # In a thread of its own: signals come to the main thread.
    with StopSignals() as stop, concurrent.futures.ThreadPoolExecutor(1, "server") as thread:
        with _refusing(_address_of(bound)):
            bound.listen()
        announce(_address_of(bound))
        server = uvicorn.Server(_config(service, limits))
        running = thread.submit(server.run, sockets=[bound])
        while not stop.requested and not running.done():
            concurrent.futures.wait([running], timeout=0.2)
        server.should_exit = True
        with patience():
            running.result()
            service.close()


def _address_of(bound):
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _config(service, limits):
    protocol: Any = functools.partial(_Protocol, head_timeout_s=limits.upload_timeout_s)
    return uvicorn.Config(
        service.app, http=protocol, ws="none", lifespan="off", log_config=None,
        log_level="error", access_log=False, proxy_headers=False, server_header=False,
        timeout_graceful_shutdown=FINISH_SECONDS)


class _Protocol(H11Protocol):
    """A connection that is closed where the head of a request does not come in time.

    The same of what a client still sends after it was refused: nobody reads that. The application
    has a limit of its own for the body.
    """

    def __init__(self, *args, head_timeout_s, **settings):
        super().__init__(*args, **settings)
        self._head_timeout_s = head_timeout_s

    def connection_made(self, transport):
        super().connection_made(transport)
        self._clock = self.loop.call_later(self._head_timeout_s, self._close_if_unused)

    def connection_lost(self, exc):
        self._clock.cancel()
        super().connection_lost(exc)

    def on_response_complete(self):
        self._clock.cancel()
        self._clock = self.loop.call_later(self._head_timeout_s, self._close_if_unused)
        super().on_response_complete()

    def _close_if_unused(self):
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    def send_400_response(self, msg):
        try:
            super().send_400_response('{"error": "no HTTP/1.1 request"}\n')
        except h11.LocalProtocolError:  # an answer has begun
            self.transport.abort()
