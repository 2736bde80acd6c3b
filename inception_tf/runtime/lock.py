"""One writer per folder: a LOCK file that names the process holding it."""

import contextlib
import json
import logging
import os
import socket
from pathlib import Path

from inception_tf.errors import UsageError

log = logging.getLogger("inception_tf")
LOCK = "LOCK"


@contextlib.contextmanager
def locked(folder):
    """Holds FOLDER/LOCK; a lock that a dead process of this host left is taken over.

    Raises:
        UsageError: a living process, or one of another host, holds it.
    """
    path = Path(folder) / LOCK
    _take(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _take(path):
    me = {"pid": os.getpid(), "host": socket.gethostname(), "started": _started(os.getpid())}
    for _ in range(2):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            _remove_if_stale(path)
            continue
        with os.fdopen(descriptor, "w") as file:
            json.dump(me, file)
        return
    raise UsageError(f"{path} was taken by another process just now")


def _remove_if_stale(path):
    try:
        holder = json.loads(path.read_text())
        pid, host, started = holder["pid"], holder["host"], holder["started"]
    except (OSError, ValueError, KeyError, TypeError):
        pid, host, started = None, socket.gethostname(), None
    if host != socket.gethostname():
        raise UsageError(f"--model_dir={path.parent} is in use by process {pid} on {host}; if that "
                         f"is gone, delete {path}")
    if pid is not None and started is not None and _started(pid) == started:
        raise UsageError(f"--model_dir={path.parent} is in use by process {pid}; wait for it or "
                         "take another --model_dir")
    log.warning("%s was left by a process that is gone (%s): taken over", path, pid)
    path.unlink(missing_ok=True)


def _started(pid):
    """Start time of a process in clock ticks since boot, None when there is no such process."""
    try:
        text = Path(f"/proc/{int(pid)}/stat").read_text()
    except (OSError, ValueError):
        return None
    return int(text.rpartition(")")[2].split()[19])
