"""What memory there is, what a file may claim of it, and how freed memory is kept."""

import ctypes
import os
import sys
from pathlib import Path

from inception_tf.errors import InceptionError, UsageError

# mallopt's names for them in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Larger blocks go back at once: only the main heap of glibc can hold them, and a network's
# activations would fragment it. A batch of 32 images of 299 x 299 as float32 is 33 MiB.
_LARGEST = 64 * 2**20
# Of a safetensors file: a name, type, shape and place for each array, some 150 bytes. A network of
# 200 blocks a stage with all that training keeps has 6 MB; in memory it is ten times as much.
MAX_HEADER_BYTES = 16 * 2**20
# Limits of the container or job, as control groups of either version have them.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def keep_freed_memory() -> None:
    """Lets glibc's malloc reuse large blocks instead of returning each to the kernel.

    By default a block of 32 MiB or more is mapped again for each batch, and smaller ones often:
    the kernel then hands out zeroed pages one by one. For batches of 32 images of 299 x 299 that
    is 0.6 of 2.2 ms of processor time an image. Elsewhere than on glibc nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)


def available_memory() -> int | None:
    """Bytes that this process can still get, at most; None where the system does not say."""
    numbers = []
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            numbers.append(1024 * int(line.split()[1]))
    # A limit counts the page cache too, which gives way: what is used of it says little.
    numbers += [int(line) for path in _LIMITS for line in _lines(path) if line.isdecimal()]
    return min(numbers, default=None)


def _lines(path):
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def require_memory(num_bytes: int, what: str, advice: str) -> None:
    """Raises UsageError when `num_bytes`, which `what` needs at least, are clearly not there."""
    available = available_memory()
    if available is not None and num_bytes > available:
        raise UsageError(f"{what} needs at least {num_bytes / 2**30:,.1f} GiB of memory, and "
                         f"{available / 2**30:,.1f} GiB are available: {advice}")


def check_safetensors_header(path: str | os.PathLike, error: type[InceptionError]) -> None:
    """Raises `error` when the header of a .safetensors file claims more than our files have."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > MAX_HEADER_BYTES:
        raise error(f"{path}: its header claims {size:,} bytes; at most {MAX_HEADER_BYTES:,} are "
                    "read: damaged, or made to exhaust memory")
