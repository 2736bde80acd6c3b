"""Named arrays <-> a directory that is complete or absent.

    MODEL_DIR/checkpoints/step_000000123/
        arrays.safetensors   every array, by name
        manifest.json        step, the caller's entries, size and sha256 of each file

Reading verifies size and hash before a number is used.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import safetensors
import safetensors.numpy

from inception_tf import strict_json
from inception_tf.errors import CheckpointError, NonFiniteError, StorageError
from inception_tf.runtime.files import complete_or_absent, sha256_of
from inception_tf.runtime.memory import check_safetensors_header

FORMAT = 1
ARRAYS = "arrays.safetensors"
MANIFEST = "manifest.json"
# A run's sets of weights -> how the names of their arrays begin.
PREFIXES = {"ema": "ema/", "raw": "weights/"}
_NAME = re.compile(r"step_(\d{9,})")


Loaded = tuple[dict[str, np.ndarray], dict[str, Any]]
Check = Callable[[dict[str, np.ndarray], dict[str, Any]], None]
Warn = Callable[[str], None]


class _File(TypedDict):
    bytes: int
    sha256: str


class Manifest(TypedDict):
    """Types of what a manifest says; those that are not required come from its run."""

    format: int
    step: int
    files: dict[str, _File]
    config: NotRequired[str]
    class_names: NotRequired[list[str]]
    data: NotRequired[dict[str, str]]
    machine: NotRequired[dict[str, str | int]]
    bad_examples: NotRequired[dict[str, str]]
    unlogged: NotRequired[dict[str, float]]
    last_step: NotRequired[int]
    scores: NotRequired[dict[str, float]]


def save(root: str | os.PathLike, step: int, arrays: Mapping[str, np.ndarray],
         entries: Mapping[str, Any], make_root: bool = True) -> Path:
    """Writes `arrays` as step `step` below `root`; returns the directory.

    A step that is there already and whole is kept as it is.

    Args:
        root: folder of a run's checkpoints.
        step: completed updates.
        arrays: by name.
        entries: JSON-able; they come back in the manifest.
        make_root: whether `root` may have to be made.

    Raises:
        StorageError: it could not be written; nothing of it is left behind.
        NonFiniteError: an array holds NaN or infinity; nothing was written.
    """
    root = Path(root)
    final = folder_of(root, step)
    if _is_whole(final):
        return final
    if broken := not_finite(arrays):
        raise NonFiniteError(f"checkpoint of step {step} refused: {len(broken)} arrays hold values "
                             f"that are not finite, {broken[0]} is the first")
    try:
        if make_root:
            root.mkdir(parents=True, exist_ok=True)
        with complete_or_absent(final, _new_aside(root)) as aside:
            aside.mkdir()
            _write_files(aside, step, arrays, entries)
            remove(final)  # there is one only if it is damaged
    except (OSError, safetensors.SafetensorError) as error:
        raise StorageError(f"checkpoint of step {step} not written to {root}: {error}") from error
    return final


def add_entries(root: str | os.PathLike, step: int, entries: Mapping[str, Any]) -> None:
    """Puts what was learned later (a scoring) into the manifest of a step.

    Raises:
        CheckpointError: there is no such step, or its manifest is damaged.
        StorageError: it could not be written; the old manifest stands.
    """
    path = folder_of(root, step) / MANIFEST
    manifest = {**read_manifest(path.parent), **entries}
    try:
        with complete_or_absent(path, path.with_name(f".{MANIFEST}")) as aside:
            _write_manifest(aside, manifest)
    except OSError as error:
        raise StorageError(f"{path} not rewritten: {error}") from error


def folder_of(root: str | os.PathLike, step: int) -> Path:
    """Where the checkpoint of `step` is, or would be."""
    return Path(root) / f"step_{step:09d}"


def remove(folder: Path) -> None:
    """Deletes a checkpoint, in two moves: what has its final name is never a part of one."""
    if folder.exists():
        aside = _new_aside(folder.parent)
        os.rename(folder, aside)
        shutil.rmtree(aside, ignore_errors=True)


def remove_leftovers(root: str | os.PathLike) -> None:
    """Deletes what was half written or half deleted when its process died.

    For the only writer of `root`, before it writes.
    """
    for leftover in Path(root).glob(".tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def steps(root: str | os.PathLike) -> list[int]:
    """The steps below `root` that have a directory, ascending; valid or not."""
    if not Path(root).is_dir():
        return []
    names = (_NAME.fullmatch(p.name) for p in Path(root).iterdir() if p.is_dir())
    return sorted(int(m.group(1)) for m in names if m)


def what_stands(root: str | os.PathLike, command: str = "") -> str:
    """What is below `root`, for the line of a run that was stopped; `command` resumes it."""
    with contextlib.suppress(OSError):
        newest = steps(root)[-1:]
        return (f"saved after step {newest[0]}, the same command resumes"
                + f": {command}" * bool(command) if newest else "nothing was saved yet")
    return ""


def load(root: str | os.PathLike, step: int) -> Loaded:
    """(arrays, manifest) of one step.

    Raises:
        CheckpointError: a file is missing, cut, altered or unreadable; says which.
    """
    folder = folder_of(root, step)
    manifest = verify(folder)
    check_safetensors_header(folder / ARRAYS, CheckpointError)
    try:
        return safetensors.numpy.load_file(folder / ARRAYS), manifest
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{folder / ARRAYS}: {error}") from None


def load_newest(root: str | os.PathLike, warn: Warn, check: Check | None = None,
                ) -> Loaded | None:
    """(arrays, manifest) of the newest valid step, or None when there is no step at all.

    Raises:
        CheckpointError: as `load_first`.
    """
    found = steps(root)
    return load_first(root, found[::-1], warn, check) if found else None


def load_first(root: str | os.PathLike, wanted: Sequence[int], warn: Warn,
               check: Check | None = None) -> Loaded:
    """(arrays, manifest) of the first of the steps `wanted` that is valid.

    Args:
        root: folder of the checkpoints.
        wanted: steps, the one to try first first.
        warn: called with why one was skipped.
        check: may refuse one (arrays, manifest) with a CheckpointError.

    Raises:
        CheckpointError: none is valid.
    """
    for step in wanted:
        try:
            return load_checked(root, step, check)
        except CheckpointError as error:
            warn(f"checkpoint skipped: {error}")
    raise CheckpointError(f"none of the {len(wanted)} checkpoints in {root} is valid: move the "
                          "folder away to start over")


def load_checked(root: str | os.PathLike, step: int, check: Check | None = None) -> Loaded:
    """As `load`, of numbers that are all finite and pass `check`."""
    arrays, manifest = load(root, step)
    try:
        if check is not None:
            check(arrays, manifest)
        if broken := not_finite(arrays):
            raise CheckpointError(f"{broken[0]} holds values that are not finite")
    except CheckpointError as error:
        raise CheckpointError(f"{folder_of(root, step)}: {error}") from None
    return arrays, manifest


def verify(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint directory whose files are what it says.

    Raises:
        CheckpointError: a file is missing, cut, altered or unreadable; says which.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest["files"].items():
        _verify_file(folder / name, expected)
    return manifest


def not_finite(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the arrays that hold NaN or infinity."""
    return [name for name, array in arrays.items()
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all()]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint directory; CheckpointError when it is not such a file."""
    path = folder / MANIFEST
    manifest = strict_json.read(path, dict[str, Any], CheckpointError)
    if manifest.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint manifest of format {FORMAT}")
    if manifest.get("sha256") != _hash_of(manifest):
        raise CheckpointError(f"{path} was altered: its sha256 does not match")
    strict_json.shaped(manifest, Manifest, path, CheckpointError)
    if set(manifest["files"]) != {ARRAYS}:
        raise CheckpointError(f"{path} does not list exactly {ARRAYS}")
    if folder_of("", manifest["step"]).name != path.parent.name:
        raise CheckpointError(f"{path} is of step {manifest['step']}")
    return manifest


def _new_aside(root):
    return root / f".tmp-{os.getpid()}-{secrets.token_hex(4)}"


def _is_whole(folder):
    try:
        return folder.exists() and bool(verify(folder))
    except CheckpointError:
        return False


def _write_files(folder, step, arrays, entries):
    contiguous = {name: np.asarray(a, order="C") for name, a in arrays.items()}
    safetensors.numpy.save_file(contiguous, folder / ARRAYS)
    _write_manifest(folder / MANIFEST, {
        "format": FORMAT, "step": step, **entries,
        "files": {ARRAYS: _size_and_hash(folder / ARRAYS)},
    })


def _write_manifest(path, manifest):
    path.write_text(json.dumps({**manifest, "sha256": _hash_of(manifest)}, indent=2) + "\n")


def _hash_of(manifest):
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _size_and_hash(path):
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _verify_file(path, expected):
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
