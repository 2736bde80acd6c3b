"""A folder that is complete or absent: written aside, flushed, then renamed."""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from pathlib import Path

from inception_tf.errors import StorageError, UsageError


@contextlib.contextmanager
def new_folder(path):
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
    aside = path.parent / f".{path.name}.unfinished-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        aside.mkdir()
        yield aside
        flush(aside)
        os.rename(aside, path)
        flush_entry(path.parent)
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def flush(folder):
    """Everything in `folder`, and the folder itself, on disk."""
    for name in sorted(folder.rglob("*"), reverse=True):
        flush_entry(name)
    flush_entry(folder)


def flush_entry(path):
    """One file, or the names in one folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def sha256_of(path):
    """Hex digest of a file's bytes; OSError when it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
