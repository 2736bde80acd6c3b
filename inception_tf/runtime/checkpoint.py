"""Named arrays <-> a directory that is complete or absent.

    MODEL_DIR/checkpoints/step_000000123/
        arrays.safetensors   every array, by name
        manifest.json        step, caller's facts, versions, size and sha256 of each file

It is written aside, flushed, then renamed, so a directory with the final name is
whole. Reading verifies size and hash before a number is used.
"""

import contextlib
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from inception_tf.errors import CheckpointError, StorageError

FORMAT = 1
ARRAYS = "arrays.safetensors"
MANIFEST = "manifest.json"
_NAME = re.compile(r"step_(\d{9,})")


def save(root, step, arrays, facts):
    """Writes `arrays` (name -> numpy array) as step `step` below `root`; returns the directory.

    `facts` is a JSON-able dict that comes back with the arrays. A step that is
    there already is kept as it is.

    Raises:
        StorageError: it could not be written; nothing of it is left behind.
    """
    root = Path(root)
    final = root / f"step_{step:09d}"
    if final.exists():
        return final
    aside = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        aside = root / f".tmp-{os.getpid()}-{secrets.token_hex(4)}"
        aside.mkdir()
        _write_files(aside, step, arrays, facts)
        os.rename(aside, final)
        _flush(root)
    except (OSError, safetensors.SafetensorError) as error:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
        raise StorageError(f"checkpoint of step {step} not written to {root}: {error}") from error
    return final


def steps(root):
    """The steps below `root` that have a directory, ascending; valid or not."""
    if not Path(root).is_dir():
        return []
    names = (_NAME.fullmatch(p.name) for p in Path(root).iterdir() if p.is_dir())
    return sorted(int(m.group(1)) for m in names if m)


def load(root, step):
    """(arrays, manifest) of one step.

    Raises:
        CheckpointError: a file is missing, cut, altered or unreadable; says which.
    """
    folder = Path(root) / f"step_{step:09d}"
    manifest = read_manifest(folder)
    for name, expected in manifest["files"].items():
        _verify(folder / name, expected)
    try:
        return safetensors.numpy.load_file(folder / ARRAYS), manifest
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{folder / ARRAYS}: {error}") from None


def load_newest(root, warn):
    """(arrays, manifest) of the newest valid step, or None when there is no step at all.

    Walks from the newest to the oldest; `warn(message)` is told why one was skipped.

    Raises:
        CheckpointError: there are checkpoints and none is valid.
    """
    found = steps(root)
    for step in reversed(found):
        try:
            arrays, manifest = load(root, step)
            _refuse_non_finite(arrays, Path(root) / f"step_{step:09d}")
            return arrays, manifest
        except CheckpointError as error:
            warn(f"checkpoint skipped: {error}")
    if found:
        raise CheckpointError(
            f"none of the {len(found)} checkpoints in {root} is valid: move the folder away "
            "to start over"
        )
    return None


def retain(root, keep):
    """Deletes all but the `keep` newest steps, and what dead processes left half written.

    A step whose files fail verification does not count as kept, so the last
    valid one is never deleted.
    """
    valid = 0
    for step in reversed(steps(root)):
        if valid >= keep:
            shutil.rmtree(Path(root) / f"step_{step:09d}", ignore_errors=True)
        else:
            valid += _is_valid(root, step)
    for leftover in Path(root).glob(".tmp-*"):
        if not _alive(leftover.name.split("-")[1]):
            shutil.rmtree(leftover, ignore_errors=True)


def read_manifest(folder):
    """The manifest of a checkpoint directory; CheckpointError when it is no manifest of ours."""
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint manifest of format {FORMAT}")
    if manifest.get("sha256") != _hash_of(manifest):
        raise CheckpointError(f"{path} was altered: its sha256 does not match")
    files = manifest.get("files")
    if not isinstance(files, dict) or set(files) != {ARRAYS}:
        raise CheckpointError(f"{path} does not list exactly {ARRAYS}")
    return manifest


def _write_files(folder, step, arrays, facts):
    contiguous = {name: np.asarray(a, order="C") for name, a in arrays.items()}
    safetensors.numpy.save_file(contiguous, folder / ARRAYS)
    manifest = {
        "format": FORMAT,
        "step": step,
        **facts,
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "files": {ARRAYS: _size_and_hash(folder / ARRAYS)},
    }
    manifest["sha256"] = _hash_of(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    for path in (folder / ARRAYS, folder / MANIFEST, folder):
        _flush(path)


def _hash_of(manifest):
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size_and_hash(path):
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _verify(path, expected):
    try:
        actual = _size_and_hash(path)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    if actual["bytes"] != expected.get("bytes"):
        raise CheckpointError(
            f"{path} has {actual['bytes']} bytes, its manifest says {expected.get('bytes')}"
        )
    if actual["sha256"] != expected.get("sha256"):
        raise CheckpointError(f"{path} does not have the sha256 of its manifest")


def _refuse_non_finite(arrays, folder):
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise CheckpointError(f"{folder}: {name} holds values that are not finite")


def _is_valid(root, step):
    with contextlib.suppress(CheckpointError):
        folder = Path(root) / f"step_{step:09d}"
        manifest = read_manifest(folder)
        for name, expected in manifest["files"].items():
            _verify(folder / name, expected)
        return True
    return False


def _alive(pid):
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
