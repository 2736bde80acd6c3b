"""Files and folders that are complete or absent: written aside, flushed, then renamed."""

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from inception_tf.errors import StorageError, UsageError

log = logging.getLogger("inception_tf")


@contextlib.contextmanager
def complete_or_absent(path: str | os.PathLike, aside: str | os.PathLike) -> Iterator[Path]:
    """Context in which a file or a folder is written at `aside`; at its end that becomes `path`.

    After an error `path` is as before, and nothing is left of `aside`.

    Raises:
        OSError: it cannot be written.
    """
    path, aside = Path(path), Path(aside)
    try:
        yield aside
        flush(aside)
        os.rename(aside, path)
        flush_entry(path.parent)
    finally:
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)


def aside_of(path: str | os.PathLike, ending: str = "") -> str:
    """A name next to `path` to write under: short, and nobody else's."""
    return os.path.join(os.path.dirname(path), f".unfinished-{secrets.token_hex(8)}{ending}")


def write_atomically(path: str | os.PathLike, text: str) -> None:
    """Replaces `path` by `text`: the old file or the new one, never a part; else an OSError."""
    with complete_or_absent(path, f"{path}.tmp-{os.getpid()}") as aside:
        aside.write_text(text)


@contextlib.contextmanager
def new_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Context that yields an empty folder aside; at its end that becomes `path`.

    After an error inside, nothing is left. What a killed process left is removed by the
    next one that writes the same `path`.

    Raises:
        UsageError: `path` exists.
        StorageError: it cannot be written.
    """
    path = Path(path)
    if os.path.lexists(path):
        raise UsageError(f"{path} exists already: remove it, or choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        with complete_or_absent(path, path.with_name(name_of_unfinished(path.name))) as aside:
            aside.mkdir()
            yield aside
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error}") from error


def name_of_unfinished(name: str) -> str:
    """What a new folder is called while it is written: says of which and by which process."""
    return f".{name}.unfinished-{os.getpid()}-{secrets.token_hex(4)}"


def _remove_leftovers(path):
    for leftover in path.parent.glob(f".{path.name}.unfinished-*"):
        found = re.search(r"-(\d+)-[0-9a-f]{8}$", leftover.name)
        if found and not _lives(int(found[1])):
            shutil.rmtree(leftover, ignore_errors=True)


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def flush(path: Path) -> None:
    """A file, or a folder with everything in it, on disk."""
    for name in sorted(path.rglob("*"), reverse=True):
        flush_entry(name)
    flush_entry(path)


def flush_entry(path: str | os.PathLike) -> None:
    """One file, or the names in one folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: str | os.PathLike) -> str:
    """Hex digest of a file's bytes; OSError when it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def try_lock(descriptor: int, path: str | os.PathLike) -> bool:
    """Whether this process now has the file to itself; until it closes it or ends.

    A file system that knows no locks costs a warning: runs there worked before as well.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        log.warning("%s cannot be locked (%s): start no second process that writes there",
                    path, error.strerror)
    return True
