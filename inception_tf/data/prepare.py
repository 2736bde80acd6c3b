"""`inception-tf prepare`: makes a data set ready as ArrayRecord, checked before.

Writing ImageNet takes hours; what would end it in the middle is looked for first.
"""

import contextlib
import logging
import os
import shutil
import tarfile
from typing import Any

import requests

from inception_tf.data import tfds_source
from inception_tf.data.sources import open_source
from inception_tf.errors import DataError, InceptionError, StorageError, UsageError
from inception_tf.text import printable

log = logging.getLogger(__name__)

# Bytes of the archives as image-net.org serves them.
IMAGENET_TARS = {
    "ILSVRC2012_img_train.tar": 147_897_477_120,
    "ILSVRC2012_img_val.tar": 6_744_924_160,
}
# For one attempt to reach a server that a set is downloaded from.
CONNECT_SECONDS = 4.0
# A tar ends with two blocks of zeros (POSIX.1-1988, ustar).
_TAR_END = 1024

_TREE = """expected:
  {manual_dir}/
    ILSVRC2012_img_train.tar  (138 GiB; 1000 tars, one per synset: n01440764.tar ...)
    ILSVRC2012_img_val.tar    (6.3 GiB; ILSVRC2012_val_00000001.JPEG ...)
    ILSVRC2012_img_test.tar   (optional, 13 GiB)
found there: {found}
The archives are given out at https://image-net.org/download-images after
registration; put them there as they are, not unpacked."""


def prepare(data):
    """Makes the set that `data` (config.Data) names ready; does nothing if it is.

    Raises: UsageError when something is missing, DataError for a broken archive,
        StorageError when the disk is too small or not writable.
    """
    if data.dataset == "folder":
        for split in (data.train_split, data.eval_split):
            open_source(data, split)  # logs what it holds
        return
    builder = tfds_source.find_builder(data)
    if tfds_source.is_prepared(builder):
        _require_same_tars(builder, data)
        log.info("%s is ready in %s: %s", builder.info.full_name, builder.data_path,
                 _split_sizes(builder))
        return
    tfds_source.require_image_and_label(builder.info.features, data.dataset)
    builder = tfds_source.find_builder(data, file_format="array_record")
    archives = _checked_archives(data, _manual_dir(builder, data)) if _is_imagenet(data) else []
    _require_disk(builder, archives)
    _write(builder, data)


def prepare_in_passing(data):
    """`prepare` by a command that is about something else: where `require_welcome` allows it."""
    if data.dataset != "folder" and not tfds_source.is_prepared(
            builder := tfds_source.find_builder(data)):
        tfds_source.require_welcome(builder, data)
    prepare(data)


def _write(builder, data):
    tfds = tfds_source.import_tfds()
    config = tfds.download.DownloadConfig(manual_dir=os.path.expanduser(data.manual_dir) or None)
    log.info("writing %s to %s", builder.info.full_name, builder.data_path)
    try:
        with tfds_source.quiet_tfds(), _giving_up_soon():
            builder.download_and_prepare(download_config=config)
    except InceptionError:
        raise  # a signal that stops the run
    except Exception as error:
        # Another process may have finished the same work first: then all is well.
        if not tfds_source.is_prepared(tfds_source.find_builder(data)):
            raise _explained(error, builder, data) from error
    log.info("%s is ready: %s", builder.info.full_name,
             _split_sizes(tfds_source.find_builder(data)))


@contextlib.contextmanager
def _giving_up_soon():
    """Within, a server that cannot be reached is tried three times, for seconds.

    TFDS tries ten times, at growing intervals and without a limit to each: minutes where there is
    no network. What a server answers, and how slowly, is waited for as before.
    """
    adapter: Any = requests.adapters.HTTPAdapter
    send = adapter.send

    def send_soon(self, request, stream=False, timeout=None, **settings):
        self.max_retries = self.max_retries.new(connect=2)
        return send(self, request, stream, timeout or (CONNECT_SECONDS, None), **settings)

    adapter.send = send_soon
    try:
        yield
    finally:
        adapter.send = send


def _explained(error, builder, data):
    """The exception of ours that fits what TFDS raised."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, requests.ConnectionError):
        reason = getattr(error.args[0], "reason", text) if error.args else text
        return DataError(f"--dataset={data.dataset} could not be downloaded: {reason!s:.300}")
    if isinstance(error, PermissionError) or "Read-only file system" in text:
        return StorageError(f"--data_dir={builder.data_dir} cannot be written: {text}")
    if isinstance(error, AssertionError) and builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        return UsageError(f"--dataset={data.dataset} needs files you download into "
                          f"--manual_dir: {text}")
    return DataError(f"--dataset={data.dataset} could not be prepared: {text}")


def _checked_archives(data, manual_dir):
    """Paths of ImageNet's tars that are there, after a look at each.

    Raises: UsageError when neither is there, DataError for one that is cut.
    """
    paths = [os.path.join(manual_dir, name) for name in IMAGENET_TARS]
    present = [path for path in paths if os.path.isfile(path)]
    if not present:
        print(_TREE.format(manual_dir=manual_dir, found=_listing(manual_dir)))
        raise UsageError(f"--dataset={data.dataset}: neither {' nor '.join(IMAGENET_TARS)} "
                         f"in --manual_dir={manual_dir}")
    for path in set(paths) - set(present):
        log.warning("%s is missing: only the other split will be prepared", path)
    for path in present:
        _require_whole_tar(path)
        expected = IMAGENET_TARS[os.path.basename(path)]
        if os.path.getsize(path) != expected:
            log.warning("%s has %d bytes, ILSVRC-2012's has %d: is it a part of it?",
                        path, os.path.getsize(path), expected)
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


def _require_disk(builder, archives):
    """Raises StorageError when the set does not fit beside its own shuffled copy.

    TFDS keeps all records of a split on disk once more while it shuffles them.
    """
    sizes = [os.path.getsize(path) for path in archives] or [0]
    needed = sum(sizes) + max(sizes)
    folder = tfds_source.existing_part(builder.data_dir)
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        raise StorageError(f"--data_dir: {folder} is not writable")
    if free < needed:
        raise StorageError(f"--data_dir: {folder} has {free / 2**30:.1f} GiB free, writing needs "
                           f"{needed / 2**30:.1f} GiB")


def _require_same_tars(builder, data):
    """A set prepared from the validation tar alone does not grow by itself."""
    if not _is_imagenet(data) or not data.manual_dir:
        return
    tar = os.path.join(os.path.expanduser(data.manual_dir), "ILSVRC2012_img_train.tar")
    if os.path.isfile(tar) and "train" not in builder.info.splits:
        raise UsageError(f"{builder.data_path} was prepared without {tar}; remove that folder "
                         "and prepare again")


def _is_imagenet(data):
    return data.dataset.split(":")[0] == "imagenet2012"


def _manual_dir(builder, data):
    """Where TFDS looks when it is not told."""
    if data.manual_dir:
        return os.path.expanduser(data.manual_dir)
    return os.path.join(builder.data_dir_root, "downloads", "manual")


def _split_sizes(builder):
    return ", ".join(f"{name} {split.num_examples}" for name, split in builder.info.splits.items())
