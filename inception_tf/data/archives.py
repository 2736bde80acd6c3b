"""ImageNet's archives, looked at before hours are spent on them."""

import logging
import os
import tarfile

from inception_tf.errors import DataError, UsageError
from inception_tf.text import printable

log = logging.getLogger(__name__)

TRAIN_TAR = "ILSVRC2012_img_train.tar"
# Bytes of the archives as image-net.org serves them.
SIZES = {TRAIN_TAR: 147_897_477_120, "ILSVRC2012_img_val.tar": 6_744_924_160}
# A tar ends with two blocks of zeros (POSIX.1-1988, ustar).
_TAR_END = 1024

_EXPECTED = """expected:
  %s/
    ILSVRC2012_img_train.tar  (138 GiB; 1000 tars, one per synset: n01440764.tar ...)
    ILSVRC2012_img_val.tar    (6.3 GiB; ILSVRC2012_val_00000001.JPEG ...)
    ILSVRC2012_img_test.tar   (optional, 13 GiB)
found there: %s
The archives are given out at https://image-net.org/download-images after
registration; put them there as they are, not unpacked."""


def checked_archives(dataset: str, manual_dir: str) -> list[str]:
    """Paths of the archives that are there, after a look at each.

    Raises: UsageError when neither is there, DataError for one that is cut.
    """
    paths = [os.path.join(manual_dir, name) for name in SIZES]
    present = [path for path in paths if os.path.isfile(path)]
    if not present:
        log.error(_EXPECTED, manual_dir, _listing(manual_dir))
        raise UsageError(f"--dataset={dataset}: neither {' nor '.join(SIZES)} "
                         f"in --manual_dir={manual_dir}")
    for path in set(paths) - set(present):
        log.warning("%s is missing: only the other split will be prepared", path)
    for path in present:
        _require_whole_tar(path)
        size, expected = os.path.getsize(path), SIZES[os.path.basename(path)]
        if size != expected:
            log.warning("%s has %d bytes, ILSVRC-2012's has %d: is it a part of it?",
                        path, size, expected)
    return present


def _listing(folder):
    if not os.path.isdir(folder):
        return "no such folder"
    return ", ".join(map(printable, sorted(os.listdir(folder))[:8])) or "nothing"


def _require_whole_tar(path):
    """Raises DataError unless every member is there and the end mark follows the last.

    Only headers are read. TFDS reads a cut archive without a word where the cut
    falls between two members.
    """
    try:
        with tarfile.open(path, "r:") as archive, open(path, "rb") as file:
            members = archive.getmembers()
            _refuse_odd_members(path, members)
            last = members[-1]
            blocks = -(-last.size // tarfile.BLOCKSIZE)
            file.seek(last.offset_data + blocks * tarfile.BLOCKSIZE)
            whole = file.read(_TAR_END) == bytes(_TAR_END)
    except (tarfile.TarError, OSError, IndexError) as error:
        raise DataError(f"{path} is not a readable tar: {error}") from error
    if not whole:
        raise DataError(f"{path} is cut after {os.path.getsize(path)} bytes, in or after "
                        f"{last.name}; download it again")


def _refuse_odd_members(path, members):
    """ILSVRC's archives hold plain files side by side, each name once; anything else is made up."""
    seen = set()
    for member in members:
        plain = member.isreg() and "/" not in member.name and member.name not in seen
        if not plain:
            raise DataError(f"{path} holds {member.name!r}, a link, a folder, a path or a name "
                            "it had before: this is not ILSVRC's archive; nothing was read of it")
        seen.add(member.name)
