"""Peers that never come, and peers that are gone: named, with exit code 8."""

import contextlib
import ctypes
import logging
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

from inception_tf.errors import PeerLostError, UsageError
from inception_tf.runtime.cluster import Cluster, host_and_port
from inception_tf.runtime.signals import keeper

log = logging.getLogger("inception_tf")

# Long enough for a busy peer's kernel to answer, short enough to ask many peers.
CONNECT_SECONDS = 1.0


def unreachable(addresses: Iterable[str]) -> list[str]:
    """Those of `addresses` ("host:port") where nobody accepts a connection."""
    return [address for address in addresses if not _accepts(address)]


@contextlib.contextmanager
def naming_lost_peers(peers: Sequence[str]) -> Iterator[None]:
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


def await_peers(cluster: Cluster, timeout_s: float) -> None:
    """Returns when every worker of `cluster` answers at its address.

    To be called before the strategy is made: TensorFlow waits for a missing peer without
    end. Until its own server stands, each worker answers on its port through a bare socket.

    Raises:
        PeerLostError: some do not answer within `timeout_s` seconds; names them.
    """
    missing: Sequence[str] = cluster.peers
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
    _, port = host_and_port(cluster.workers[cluster.index])
    both = socket.has_dualstack_ipv6()
    try:
        own = socket.create_server(("", port), dualstack_ipv6=both,
                                   family=socket.AF_INET6 if both else socket.AF_INET)
    except OSError as error:
        raise UsageError(f"port {port} of this worker cannot be used: {error.strerror}") from None
    with own:
        yield


def _accepts(address):
    try:
        with socket.create_connection(host_and_port(address), timeout=CONNECT_SECONDS):
            return True
    except (OSError, UnicodeError):  # a name of 64 letters is no host's
        return False


@contextlib.contextmanager
def forming(cluster: Cluster, timeout_s: float) -> Iterator[None]:
    """Context in which TensorFlow forms `cluster`, once all of its workers answer.

    Ends the process with PeerLostError's code where that takes more than `timeout_s` seconds
    again: a worker that ends just now, or that has another cluster in mind, is waited for
    without end. A stop signal is heard as ever.

    Raises:
        PeerLostError: as `await_peers`.
    """
    if not cluster.peers:
        yield
        return
    await_peers(cluster, timeout_s)
    formed, give_back = threading.Event(), keeper()

    def watch():
        deadline = time.monotonic() + timeout_s
        while not formed.wait(0.1):
            give_back()
            if time.monotonic() > deadline:
                log.error("error: no cluster within --startup_timeout_s=%g: all workers answered, "
                          "then one was lost, or has another TF_CONFIG or index", timeout_s)
                os._exit(PeerLostError.exit_code)

    threading.Thread(target=watch, name="forming", daemon=True).start()
    try:
        with _without_python_lock():
            yield
    finally:
        formed.set()


@contextlib.contextmanager
def _without_python_lock():
    """Context in which TensorFlow waits for its peers and other threads of Python go on.

    Its binding of TFE_EnableCollectiveOps holds Python's lock; a call through ctypes does not.
    """
    from tensorflow.python import pywrap_tfe

    theirs = pywrap_tfe.TFE_EnableCollectiveOps
    pywrap_tfe.TFE_EnableCollectiveOps = _enable_collective_ops
    try:
        yield
    finally:
        pywrap_tfe.TFE_EnableCollectiveOps = theirs


def _enable_collective_ops(context, server):
    """What TensorFlow's binding of that name does. context: a capsule; server: bytes."""
    import tensorflow as tf

    library, pointer = ctypes.CDLL(None), ctypes.c_void_p
    unwrap = ctypes.pythonapi.PyCapsule_GetPointer
    unwrap.argtypes, unwrap.restype = (ctypes.py_object, ctypes.c_char_p), pointer
    library.TF_NewStatus.restype, library.TF_Message.restype = pointer, ctypes.c_char_p
    status = pointer(library.TF_NewStatus())
    library.TFE_EnableCollectiveOps(pointer(unwrap(context, None)), server,
                                    ctypes.c_size_t(len(server)), status)
    code, message = library.TF_GetCode(status), library.TF_Message(status).decode()
    library.TF_DeleteStatus(status)
    if code:
        raise tf.errors.exception_type_from_error_code(code)(None, None, message)
