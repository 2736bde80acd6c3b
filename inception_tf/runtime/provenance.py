"""What a result says of where it came from: files the user named, versions of packages."""

import contextlib
import importlib.metadata
import platform

from inception_tf.runtime.files import sha256_of

PACKAGES = ("inception_tf", "tensorflow", "keras", "tensorflow-datasets", "numpy")


def path_and_sha256(path: str) -> dict[str, str] | None:
    """Path and sha256 of a file that the user named; None without one."""
    if not path:
        return None
    return {"path": path, "sha256": sha256_of(path)}


def versions() -> dict[str, str]:
    """Python's version, and that of each of PACKAGES that is installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
