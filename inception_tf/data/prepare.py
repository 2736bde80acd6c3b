"""`inception-tf prepare`: makes a data set ready as ArrayRecord, checked before.

Writing ImageNet takes hours; what would end it in the middle is looked for first.
"""

import contextlib
import logging
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import requests

from inception_tf.config import Data
from inception_tf.data import tfds_source
from inception_tf.data.archives import TRAIN_TAR, checked_archives
from inception_tf.data.folders import FolderSource
from inception_tf.errors import DataError, InceptionError, StorageError, UsageError
from inception_tf.text import one_line

log = logging.getLogger(__name__)

# For one attempt to reach a server that a set is downloaded from.
CONNECT_SECONDS = 4.0


def prepare(data: Data) -> None:
    """Makes a data set ready; does nothing if it is.

    Raises: UsageError when something is missing, DataError for a broken archive,
        StorageError when the disk is too small or not writable.
    """
    if data.dataset == "folder":
        for split in (data.train_split, data.eval_split):
            FolderSource(data, split)  # logs what it holds
        return
    builder = tfds_source.find_builder(data)
    if tfds_source.is_prepared(builder):
        _require_same_tars(builder, data)
        log.info("%s is ready in %s: %s", builder.info.full_name, builder.data_path,
                 _split_sizes(builder))
        return
    tfds_source.require_image_and_label(builder.info.features, data.dataset)
    builder = tfds_source.find_builder(data, file_format="array_record")
    archives = (checked_archives(data.dataset, _manual_dir(builder, data))
                if _is_imagenet(data) else [])
    _require_disk(builder, archives)
    _write(builder, data)


def prepare_in_passing(data: Data) -> None:
    """`prepare` for a command that is about something else; it may not write everywhere.

    Training and scoring download nothing, and a --data_dir may be mistyped or be somebody's
    pictures: they prepare the embedded set where nobody named a place, and archives that were
    named by --manual_dir, into a folder that is new, empty or of TFDS.

    Raises: UsageError where only `inception-tf prepare` may write; else as `prepare`.
    """
    if data.dataset == "folder":
        return
    builder = tfds_source.find_builder(data)
    if not tfds_source.is_prepared(builder) and not _is_welcome(builder, data):
        raise _not_prepared(builder, data)
    prepare(data)


def _is_welcome(builder, data):
    if data.manual_dir and builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        return _is_ours(data.data_dir)
    return builder.name == tfds_source.EMBEDDED and not data.data_dir


def _is_ours(data_dir):
    folder = Path(data_dir).expanduser()
    return not data_dir or not folder.is_dir() or not any(folder.iterdir()) or any(
        any(folder.glob(f"{sets}/dataset_info.json")) for sets in ("*/*", "*/*/*"))


def _not_prepared(builder, data):
    words = [f"--dataset={data.dataset}"]
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        words.append(f"--manual_dir={shlex.quote(data.manual_dir or 'DIR')}")
    if data.data_dir:
        words.append(f"--data_dir={shlex.quote(data.data_dir)}")
    return UsageError(f"--dataset={data.dataset} is not prepared in {builder.data_dir}"
                      f"{_other_versions(builder)}; run `inception-tf prepare {' '.join(words)}`, "
                      "or correct --data_dir")


def _other_versions(builder):
    """Names the other versions in the folder: an older one must be named to be used."""
    folder = os.path.dirname(builder.data_dir)
    found = sorted(os.listdir(folder)) if os.path.isdir(folder) else ()
    name = builder.info.full_name.rpartition("/")[0]
    named = [f"--dataset={name}:{v}" for v in found if re.fullmatch(r"\d+\.\d+\.\d+", v)]
    return f" (there is {', '.join(named)})" if named else ""


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
    """Context in which a server that cannot be reached is tried three times, for seconds.

    TFDS tries ten times, at growing intervals and without a time limit: minutes without a
    network. A server that answers slowly is still waited for.
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
    """Our exception for what TFDS raised."""
    text = one_line(error)
    if isinstance(error, requests.ConnectionError):
        reason = getattr(error.args[0], "reason", text) if error.args else text
        return DataError(f"--dataset={data.dataset} could not be downloaded: {reason!s:.300}")
    if isinstance(error, PermissionError) or "Read-only file system" in text:
        return StorageError(f"--data_dir={builder.data_dir} cannot be written: {text}")
    if isinstance(error, AssertionError) and builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        return UsageError(f"--dataset={data.dataset} needs files you download into "
                          f"--manual_dir: {text}")
    return DataError(f"--dataset={data.dataset} could not be prepared: {text}")


def _require_disk(builder, archives):
    """Raises StorageError when the disk is too small for the set.

    TFDS keeps all records of a split on disk twice while it shuffles them.
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
    tar = os.path.join(os.path.expanduser(data.manual_dir), TRAIN_TAR)
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
