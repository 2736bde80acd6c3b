"""Results that a command writes: tried before its work begins, written whole at its end.

A regular file is replaced by a whole one; of a link, its target. A device or a FIFO is written
through, and so is standard output: `-`, /dev/stdout, or the file that it was sent to.
"""

import contextlib
import errno
import logging
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from typing import TextIO

from inception_tf.errors import StorageError, UsageError
from inception_tf.runtime.files import aside_of, complete_or_absent, name_of_unfinished

log = logging.getLogger("inception_tf")

_STREAMS = {
    "stdout": {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"},
    "stderr": {"/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"},
}
_FULL = (errno.ENOSPC, errno.EDQUOT)
# Nothing can be put in the file's place (a folder that is read-only, a file that is mounted), but
# the file itself may be written.
_IN_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)
# Written to see whether the disk is full: a file of nothing takes no block.
_PROBE = bytes(4096)


def check_output(flag: str, path: str, replace: bool = True) -> None:
    """Tries whether `path`, the value of --FLAG, can be written; leaves everything as it is.

    Args:
        replace: whether a regular file that exists may be replaced.

    Raises:
        UsageError: it cannot be.
        StorageError: the disk is full.
    """
    if _stream(path):
        return
    with _refusing(flag, path):
        if path.endswith("/"):
            raise UsageError("names a folder: name a file")
        kind = _kind(path)
        if kind is None or stat.S_ISREG(kind):
            _try_file(path, exists=kind is not None, replace=replace)
        elif stat.S_ISCHR(kind):
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY))
        elif not stat.S_ISFIFO(kind):
            raise UsageError(f"is {_name_of(kind)}: name a file")
        elif not os.access(path, os.W_OK):
            raise UsageError(os.strerror(errno.EACCES))


def check_new_folder(flag: str, path: str) -> None:
    """Tries whether the folder `path`, the value of --FLAG, can be made; leaves nothing behind.

    Raises:
        UsageError: it exists, or cannot be.
        StorageError: the disk is full.
    """
    with _refusing(flag, path):
        path = path.rstrip("/") or path
        if os.path.lexists(path):
            raise UsageError("exists already: remove it, or choose another name")
        _kind(path)  # raises where there can be no such name
        folder = os.path.dirname(os.path.abspath(path))
        while not os.path.lexists(folder):
            folder = os.path.dirname(folder)
        _try(folder, name_of_unfinished(os.path.basename(path)))


def write_output(flag: str, path: str, content: str | bytes) -> None:
    """Makes `content` that of `path`: the old file or the new one, never a part.

    Raises:
        StorageError: it cannot be written.
        BrokenPipeError: the reader of a pipe left.
    """
    stream = _stream(path)
    with blaming(flag, path):
        if stream:
            _put(stream, content)
        elif _is_replaced(path):
            _replace(os.path.realpath(path), content)
        else:
            with _open_special(path) as file:
                _put(file, content)


@contextlib.contextmanager
def open_output(flag: str, path: str) -> Iterator[TextIO]:
    """A new file at `path` for what is written as it comes, or what is written through.

    Raises: as `write_output`, but for what is written inside.
    """
    if stream := _stream(path):
        yield stream
        return
    with blaming(flag, path):
        new = _is_replaced(path)
        file = open(os.path.realpath(path), "x") if new else _open_special(path)
    try:
        yield file
    finally:
        with blaming(flag, path):
            file.close()


def is_standard_output(path: str) -> bool:
    """Whether what is written to `path` comes out where the command prints."""
    return _stream(path) is sys.stdout


def is_file(path: str) -> bool:
    """Whether `path` is or will be a regular file: no stream, device or FIFO."""
    return _stream(path) is None and _is_replaced(path)


def refuse_shared(outputs: dict[str, str], inputs: dict[str, str]) -> None:
    """Raises UsageError where one of `outputs` (flag -> path) is another of them, or an input."""
    seen = {}
    for flag, path in [*inputs.items(), *outputs.items()]:
        place = "-" if is_standard_output(path) else os.path.realpath(path)
        if place in seen and flag in outputs and (place == "-" or not _is_device(path)):
            raise UsageError(f"--{flag}={path!r} is what --{seen[place]} names: it would be "
                             "overwritten; choose another name")
        seen.setdefault(place, flag)


@contextlib.contextmanager
def blaming(flag: str, path: str) -> Iterator[None]:
    """An OSError inside becomes a StorageError that names the flag; only writes belong inside.

    That the reader of a pipe left is no error (commands.shell).
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StorageError(f"--{flag}={path!r} could not be written: "
                           f"{error.strerror or error}") from None


@contextlib.contextmanager
def _refusing(flag, path):
    """Errors inside name the flag; nothing was computed yet."""
    what = f"--{flag}={path!r}"
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{what} {error}") from None
    except OSError as error:
        kind = StorageError if error.errno in _FULL else UsageError
        raise kind(f"{what} cannot be written: {error.strerror or error}") from None


def _stream(path):
    """sys.stdout or sys.stderr where `path` is one of their names, or the file that they fill."""
    for name, names in _STREAMS.items():
        stream = getattr(sys, name)
        if stream and (path in names or _is_file_of(stream, path)):
            return stream
    return None


def _is_file_of(stream, path):
    # A stream may be closed, or have no descriptor.
    with contextlib.suppress(OSError, ValueError):
        ours, theirs = os.fstat(stream.fileno()), os.stat(path)
        return os.path.samestat(ours, theirs) and not stat.S_ISCHR(theirs.st_mode)
    return False


def _kind(path):
    """Mode of what `path` leads to; None where there is nothing yet."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _name_of(kind):
    return ("a folder" if stat.S_ISDIR(kind) else
            "a socket" if stat.S_ISSOCK(kind) else "a block device")


def _is_replaced(path):
    kind = _kind(path)
    return kind is None or stat.S_ISREG(kind)


def _is_device(path):
    with contextlib.suppress(OSError):
        return stat.S_ISCHR(os.stat(path).st_mode)
    return False


def _try_file(path, exists, replace):
    if exists and not replace:
        raise UsageError("exists already: remove it, or choose another name")
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if not os.path.lexists(folder):
        named = folder if os.path.islink(path) else os.path.dirname(path)
        raise UsageError(f"cannot be written: no folder {named!r}; make it first")
    if exists:
        open(target, "ab").close()
    try:
        _try(folder, os.path.basename(aside_of(target)))
    except OSError as error:
        if not exists or error.errno not in _IN_PLACE:
            raise


def _try(folder, name):
    """Writes a file and removes it: what a file system says of permissions may not be true."""
    path = os.path.join(folder, name)
    try:
        with open(path, "xb") as file:
            file.write(_PROBE)
            file.flush()
            os.fsync(file.fileno())
    finally:
        with contextlib.suppress(OSError):
            os.remove(path)


def _put(file, content):
    file.flush()
    (file.buffer if isinstance(content, bytes) else file).write(content)
    file.flush()


def _replace(target, content):
    try:
        with complete_or_absent(target, aside_of(target)) as new:
            _write(new, "x", content)
            if os.path.exists(target):
                shutil.copymode(target, new)
    except OSError as error:
        if error.errno not in _IN_PLACE or not os.path.isfile(target):
            raise
        _write(target, "w", content)


def _write(path, mode, content):
    with open(path, mode, encoding="utf-8") as file:
        _put(file, content)
        os.fsync(file.fileno())


def _open_special(path):
    """A device or a FIFO, open for writing; of a FIFO a reader is waited for, and it is said."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        log.info("%s: waiting for a reader", path)
        descriptor = os.open(path, os.O_WRONLY)
    os.set_blocking(descriptor, True)
    return open(descriptor, "w", encoding="utf-8")
