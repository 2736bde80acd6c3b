"""Which files below a folder are pictures: one rule for training, scoring and predict.

A picture is a regular file, or a link to one, whose name ends in one of EXTENSIONS and is not
hidden, at any depth. All else is counted by reason or is a problem: nothing is dropped silently.
"""

import collections
import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

from inception_tf.data.images import EXTENSIONS
from inception_tf.text import printable

# What systems, archives and network drives put among one's own folders; compared in lower case.
SYSTEM_FOLDERS = {"__macosx", "@eadir", "lost+found", "$recycle.bin", "recycler", "#recycle",
                  "@recycle", "#snapshot", "~snapshot", "system volume information", "__pycache__"}
# A picture of --max_image_pixels takes 200 MB at most as it is stored (BMP of 32 bits).
MAX_BYTES = 512 * 2**20
# Kinds of passed-over files that a summary names.
MAX_KINDS = 6


class Listing(NamedTuple):
    """What lies below a folder.

    pictures: sorted (path below the folder, bytes).
    problems: sorted (path below the folder, why): what cannot be looked into.
    skipped: reason -> number of files and folders.
    """

    pictures: list[tuple[str, int]]
    problems: list[tuple[str, str]]
    skipped: collections.Counter[str]


def list_pictures(folder: str) -> Listing:
    """The Listing of `folder` at any depth; links to folders are followed, each folder once.

    Its own name is not judged. A link back to a folder above it is a problem.
    """
    listing = Listing([], [], collections.Counter())
    seen = set()
    # Folders before links to folders: what is reached by both keeps its plain name.
    waiting = collections.deque([("", _above(folder))])
    while waiting:
        inside, parents = waiting.popleft()
        try:
            own = _identity(os.path.join(folder, inside))
            if own in parents:
                listing.problems.append((inside or ".", "a link back to a folder above it"))
            elif own in seen:
                listing.skipped["linked twice"] += 1
            else:
                seen.add(own)
                for path, is_link in _look_into(folder, inside, listing):
                    (waiting.append if is_link else waiting.appendleft)((path, (*parents, own)))
        except OSError as error:
            listing.problems.append((inside or ".", _why(error, os.path.join(folder, inside))))
    listing.pictures.sort()
    listing.problems.sort()
    return listing


def subfolders(folder: str) -> tuple[list[str], Listing]:
    """Sorted names of the class folders in `folder`, and what else lies there."""
    listing = Listing([], [], collections.Counter())
    try:
        return [path for path, _ in _look_into(folder, "", listing)], listing
    except OSError as error:
        listing.problems.append((".", _why(error, folder)))
        return [], listing


def _look_into(folder, inside, listing):
    """Adds the files of one folder to `listing`; its folders, sorted, as (path, whether a link)."""
    found = []
    with os.scandir(os.path.join(folder, inside)) as entries:
        for entry in entries:
            path = os.path.join(inside, entry.name)
            if entry.name.startswith("."):
                listing.skipped["hidden"] += 1
                continue
            try:
                status = entry.stat()
            except OSError as error:
                listing.problems.append((path, _why(error, entry.path)))
                continue
            if reason := _why_not(entry.name, status):
                listing.skipped[reason] += 1
            elif stat.S_ISDIR(status.st_mode):
                found.append((path, entry.is_symlink()))
            else:
                listing.pictures.append((path, status.st_size))
    return sorted(found)


def _why_not(name, status):
    """Why something is neither a picture nor a folder to look into; "" where it is one."""
    if stat.S_ISDIR(status.st_mode):
        return "of the system" if name.lower() in SYSTEM_FOLDERS else ""
    if not stat.S_ISREG(status.st_mode):
        return "FIFO, socket or device"
    ending = os.path.splitext(name)[1].lower()
    return "" if ending in EXTENSIONS else printable(ending[:12]) or "without an extension"


def _why(error, path):
    of_links = {errno.ENOENT: "a link to nothing", errno.ELOOP: "a link that leads back to itself"}
    words = error.strerror or str(error)
    return of_links.get(error.errno, words) if os.path.islink(path) else words


def _above(folder):
    """Identities of the parent folders, of the path as given and with links resolved."""
    places = (Path(os.path.abspath(folder)), Path(os.path.realpath(folder)))
    return tuple({_identity(parent) for place in places for parent in place.parents})


def _identity(folder):
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def skipped_words(skipped: collections.Counter[str]) -> str:
    """Such as "; skipped 3: 2 .txt, 1 hidden", the most frequent first; "" for nothing."""
    if not skipped:
        return ""
    ranked = sorted(skipped.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{count:,} {reason}" for reason, count in ranked[:MAX_KINDS]]
    if rest := sum(count for _, count in ranked[MAX_KINDS:]):
        named.append(f"{rest:,} others")
    return f"; skipped {skipped.total():,}: {', '.join(named)}"


def read_picture(path: str) -> bytes:
    """The bytes of a regular file. Raises OSError for anything else, which is not waited for.

    Looked at before it is opened: a FIFO would block for ever, and a device may act on it.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise OSError(error.errno, _why(error, path)) from None
    if stat.S_ISDIR(status.st_mode):
        os.scandir(path).close()  # says why a folder is here that could not be listed
        back = "a link back to a folder above it"
        raise OSError(errno.EISDIR, back if os.path.islink(path) else "a folder")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "a FIFO, socket or device, which is not read")
    if status.st_size > MAX_BYTES:
        raise OSError(errno.EFBIG, f"{status.st_size:,} bytes; at most {MAX_BYTES:,} are read")
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return file.read()
