"""A run's folder: what its files are called, its config, and one writer at a time.

The lock is our own: the native lock of the filelock package names no holder and does not refuse
one that another host left.
"""

import contextlib
import errno
import json
import logging
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from inception_tf import strict_json
from inception_tf.config import Config
from inception_tf.errors import StorageError, UsageError
from inception_tf.runtime.files import try_lock, write_atomically
from inception_tf.text import printable

log = logging.getLogger("inception_tf")

CONFIG, CHECKPOINTS, LOCK = "config.json", "checkpoints", "LOCK"
# Of a LOCK: a name of a host and a number; what is longer was not written here.
_MAX_BYTES = 4096
# Each further one means that a holder ended between opening its file and locking it.
_TRIES = 100


def checkpoints_of(model_dir: str | os.PathLike) -> Path:
    """Where a run has its checkpoints."""
    return Path(model_dir) / CHECKPOINTS


def make_folder(model_dir: str | os.PathLike) -> Path:
    """Makes the run's folder; UsageError when it can't be made or written."""
    folder = Path(model_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"--model_dir={folder}: that, or a part of it, is no folder") from None
    except OSError as error:
        raise UsageError(f"--model_dir={folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"--model_dir={folder} is not writable")
    return folder


def write_config(folder: str | os.PathLike, config: Config) -> None:
    """Writes config.json; OSError when it cannot be."""
    write_atomically(Path(folder) / CONFIG, config.to_json())


def read_config(model_dir: str | os.PathLike, name: str = "--model_dir") -> Config:
    """The Config that training wrote into `model_dir`; UsageError when there is none.

    Without its --manual_dir: who trained said to prepare those archives, who scores has not.
    `name` is what the user calls the folder.
    """
    path = Path(model_dir) / CONFIG
    if not path.is_file():
        raise UsageError(f"{name}={model_dir}: no {CONFIG} there; "
                         + (meant(model_dir, CONFIG) or "is it a folder that train.py wrote?"))
    return Config.read(path).replace(manual_dir="")


def meant(folder: str | os.PathLike, name: str) -> str:
    """Asks whether another folder was meant: the run whose checkpoints these are, or the folder in
    `folder` whose file `name` was written last.
    """
    place = Path(os.path.abspath(folder))
    for inside in (place, *place.parents[:2]):
        if inside.name == CHECKPOINTS and (inside.parent / CONFIG).is_file():
            return f"did you mean {inside.parent}?"
    found = list(Path(folder).glob(f"*/{name}"))
    newest = max(found, key=lambda path: path.stat().st_mtime, default=None)
    return f"did you mean {newest.parent}?" if newest else ""


class Holder(TypedDict):
    """What a LOCK says of the process that wrote it."""

    pid: int
    host: str


class FolderLock:
    """A LOCK that this process holds: `descriptor` of the file at `path`."""

    def __init__(self, path: Path, descriptor: int):
        self.path, self.descriptor = path, descriptor

    def is_held(self) -> bool:
        """Whether the file at `path` is still the locked one."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.descriptor))
        except OSError:
            return False

    def require_held(self) -> None:
        """Raises StorageError where the folder was removed, moved away or given to another."""
        if not self.is_held():
            raise StorageError(f"--model_dir={self.path.parent} was removed or moved away during "
                               f"the run ({self.path} is not there any more): nothing more is "
                               "written there")


@contextlib.contextmanager
def locked(folder: str | os.PathLike) -> Iterator[FolderLock]:
    """Holds FOLDER/LOCK, which ends with the process; what a dead one of this host left is reused.

    Raises:
        UsageError: a living process holds it, one of another host wrote it, or it is no file.
        StorageError: it cannot be written.
    """
    lock = _taken(Path(folder) / LOCK)
    try:
        _sign(lock)
        yield lock
    finally:
        # Deleted while it is locked: whoever opened it meanwhile finds that it is not there.
        if lock.is_held():
            with contextlib.suppress(OSError):
                lock.path.unlink()
        os.close(lock.descriptor)


def _taken(path):
    for _ in range(_TRIES):
        lock = FolderLock(path, _opened(path))
        try:
            if not try_lock(lock.descriptor, path):
                raise UsageError(f"--model_dir={path.parent} is in use by {_holder(lock)}; wait "
                                 "for it or take another --model_dir")
            if lock.is_held():
                _refuse_other_host(lock)
                return lock
        except BaseException:
            os.close(lock.descriptor)
            raise
        os.close(lock.descriptor)
    raise UsageError(f"{path} is being taken by other processes")


def _opened(path):
    """Descriptor of the file, made if there is none; never of a link's target, never waiting."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise StorageError(f"{path} not written: {error.strerror}") from None
        what = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise UsageError(f"{path} cannot be used: {what}; remove it once no run uses "
                         f"--model_dir={path.parent}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"{path} is no file: remove it once no run uses "
                         f"--model_dir={path.parent}")
    return descriptor


def _refuse_other_host(lock):
    """Locks of a network file system may hold on one host only, so the name counts there."""
    content = _content(lock)
    found = _parsed(content, lock.path)
    if found and found["host"] != socket.gethostname():
        raise UsageError(f"--model_dir={lock.path.parent} is in use by {_holder(lock)}; if that is "
                         f"gone, delete {lock.path}")
    if content:
        log.warning("%s was left by a process that is gone (%s): taken over", lock.path,
                    found["pid"] if found else "it does not say which")


def _sign(lock):
    """Puts this process' name into the file, for whoever finds it locked."""
    text = json.dumps(Holder(pid=os.getpid(), host=socket.gethostname()))
    try:
        os.ftruncate(lock.descriptor, 0)
        os.pwrite(lock.descriptor, text.encode(), 0)
    except OSError as error:
        raise StorageError(f"{lock.path} not written: {error.strerror}") from None


def _holder(lock):
    found = _parsed(_content(lock), lock.path)
    if found is None:
        return "another process"
    here = found["host"] == socket.gethostname()
    return f"process {found['pid']}" + ("" if here else f" on {printable(found['host'])}")


def _content(lock):
    return os.pread(lock.descriptor, _MAX_BYTES, 0)


def _parsed(content, path):
    """The Holder in a LOCK; None where it names none (it is about to, or was damaged)."""
    try:
        return strict_json.parse(content, Holder, path)
    except UsageError:
        return None
