"""What a result says of where it came from: files the user named, versions of packages."""

import contextlib
import hashlib
import importlib.metadata
import platform
from pathlib import Path

PACKAGES = ("inception_tf", "tensorflow", "keras", "tensorflow-datasets", "numpy")


def file_facts(path):
    """Path and sha256 of a file that the user named; None without one."""
    if not path:
        return None
    return {"path": path, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}


def versions():
    """Python's version, and that of each of PACKAGES that is installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
