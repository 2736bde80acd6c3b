"""Peers that never come, and peers that are gone: named, with exit code 8."""

import contextlib
import os
import socket
import sys
import threading

from inception_tf.errors import PeerLostError

# Long enough for a busy peer's kernel to answer, short enough to ask many peers.
CONNECT_SECONDS = 2.0


def unreachable(addresses):
    """Those of `addresses` ("host:port") where nobody accepts a connection."""
    return [address for address in addresses if not _accepts(address)]


@contextlib.contextmanager
def naming_lost_peers(peers):
    """Turns a collective's failure into a PeerLostError that names the peers gone.

    With no `peers` errors pass unchanged.
    """
    import tensorflow as tf

    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
            tf.errors.DeadlineExceededError, tf.errors.InternalError,
            tf.errors.FailedPreconditionError) as error:
        if not peers:
            raise
        lost = ", ".join(unreachable(peers)) or f"one of {', '.join(peers)}"
        reason = " ".join(error.message.split())
        raise PeerLostError(f"lost the worker at {lost}: {reason:.160}") from error


class StartupWatch:
    """Ends the process with code 8 when `peers` have not come within `timeout_s`.

    TensorFlow waits for a missing peer without end, in C++, so this is a thread that
    has to be started before the strategy is made. Use it as a context around that.
    """

    def __init__(self, peers, timeout_s):
        self.peers, self.timeout_s = peers, timeout_s
        self._done = threading.Event()

    def __enter__(self):
        if self.peers:
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._done.set()

    def _watch(self):
        if self._done.wait(self.timeout_s):
            return
        missing = unreachable(self.peers) or list(self.peers)
        print(f"error: no cluster within --startup_timeout_s={self.timeout_s:g}: nobody answers at "
              f"{', '.join(missing)}", file=sys.stderr, flush=True)
        os._exit(PeerLostError.exit_code)


def _accepts(address):
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False
