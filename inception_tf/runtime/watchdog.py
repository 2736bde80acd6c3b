"""Peers that never come, and peers that are gone: named, with exit code 8."""

import contextlib
import socket
import time

from inception_tf.errors import PeerLostError, UsageError

# Long enough for a busy peer's kernel to answer, short enough to ask many peers.
CONNECT_SECONDS = 1.0


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


def await_peers(cluster, timeout_s):
    """Returns when every worker of `cluster` answers at its address.

    To be called before the strategy is made: TensorFlow waits for a missing peer without
    end, in C++ and holding Python's lock, so no thread of ours could look at a clock.
    Until its own server stands, each worker answers on its port through a bare socket.

    Raises:
        PeerLostError: some do not answer within `timeout_s` seconds; names them.
    """
    missing = cluster.peers
    deadline = time.monotonic() + timeout_s
    with _listening(cluster):
        while missing := unreachable(missing):
            if time.monotonic() > deadline:
                raise PeerLostError(f"no cluster within --startup_timeout_s={timeout_s:g}: nobody "
                                    f"answers at {', '.join(missing)}")
            time.sleep(0.2)


@contextlib.contextmanager
def _listening(cluster):
    if not cluster.peers:
        yield
        return
    port = int(cluster.workers[cluster.index].rpartition(":")[2])
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind(("", port))
        except OSError as error:
            raise UsageError(f"port {port} of this worker cannot be used: {error.strerror}") \
                from None
        own.listen()
        yield


def _accepts(address):
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False
