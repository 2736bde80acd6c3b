"""Records by position inside the files TFDS writes, each read verified.

ArrayRecord files carry their own index and hashes. A TFRecord file has neither,
so its record offsets are found once by walking the headers, and kept. `tfds.data_source`
does not do: it reads ArrayRecord alone and holds no file against its declared count.
"""

import contextlib
import hashlib
import os
import resource
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import google_crc32c
import numpy as np
import tqdm

from inception_tf.errors import DataError
from inception_tf.runtime.files import aside_of, complete_or_absent
from inception_tf.text import one_line

# Files opened at once: latency counts there, not processors.
OPENERS = 16
# Files that the rest of a run may need.
SPARE_FILES = 512

_HEADER = struct.Struct("<QI")  # length of the record, its masked CRC
_FOOTER = struct.Struct("<I")  # masked CRC of the record


class ArrayRecordShard:
    """One ArrayRecord file."""

    def __init__(self, path: str):
        from array_record.python import array_record_module

        _require_file(path)
        self.path = path
        try:
            # Records are read singly: reading ahead would only be thrown away.
            self._reader = array_record_module.ArrayRecordReader(
                path, options="readahead_buffer_size:0", file_reader_buffer_size=32768
            )
            self.num_records = self._reader.num_records()
        except Exception as error:  # the module raises bare ValueError and RuntimeError
            raise DataError(f"{path} is not a readable ArrayRecord file: "
                            f"{one_line(error)}") from error

    def read(self, position: int) -> bytes:
        """The bytes of one record; DataError names file and record."""
        try:
            return self._reader.read([position])[0]
        except Exception as error:
            raise DataError(f"{self.path}, record {position}: {one_line(error)}") from error


class TfrecordShard:
    """One TFRecord file, read through the offsets of its records."""

    def __init__(self, path: str, offsets: np.ndarray):
        self.path = path
        self._offsets = offsets
        self.num_records = len(offsets) - 1

    def read(self, position: int) -> bytes:
        """The bytes of one record; DataError names file and record."""
        first, end = (int(v) for v in self._offsets[position : position + 2])
        with open(self.path, "rb") as file:
            file.seek(first)
            stored = file.read(end - first)
        record = stored[_HEADER.size : -_FOOTER.size]
        if len(stored) != end - first or stored[-_FOOTER.size :] != _FOOTER.pack(_mask(record)):
            raise DataError(f"{self.path}, record {position}: checksum does not match; "
                            "the file is damaged, restore it from its source")
        return record


class Shards:
    """The records of one split, over the parts of files that TFDS names.

    instructions: TFDS' file instructions (filename, skip, take, examples_in_shard).
    open_shard: path -> shard.

    Raises: DataError naming the first file that is not what TFDS declared.
    """

    def __init__(self, instructions: Sequence[Any],
                 open_shard: Callable[[str], ArrayRecordShard | TfrecordShard]):
        _allow_open_files(len(instructions))
        self._skips = [i.skip for i in instructions]
        self._ends = np.cumsum([0] + [i.take for i in instructions])
        with ThreadPoolExecutor(OPENERS) as pool:
            opened = pool.map(open_shard, [i.filename for i in instructions])
            # Seen only where it takes long: a TFRecord set that is read for the first time.
            self._shards = list(tqdm.tqdm(opened, "opening", len(instructions), unit="file",
                                          delay=3, leave=False, disable=None))
        for shard, instruction in zip(self._shards, instructions, strict=True):
            _require_count(shard, instruction)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, index: int) -> bytes:
        """The bytes of record `index` of the split."""
        which = int(np.searchsorted(self._ends, index, side="right")) - 1
        position = index - int(self._ends[which]) + self._skips[which]
        return self._shards[which].read(position)


class TfrecordIndex:
    """Offsets of the records of a folder's TFRecord files, made once and kept.

    Kept next to the data, or in the user's cache where that is read-only; one
    .npy file per TFRecord file, named after its size and modification time.
    """

    def __init__(self, data_folder: str):
        self._folders = (
            os.path.join(data_folder, ".record_offsets"),
            os.path.join(_cache_dir(), hashlib.sha256(data_folder.encode()).hexdigest()[:16]),
        )

    def open_shard(self, path: str) -> TfrecordShard:
        """The TfrecordShard of `path`, its offsets from the cache or walked now."""
        _require_file(path)
        status = os.stat(path)
        key = f"{os.path.basename(path)}.{status.st_size}.{status.st_mtime_ns}.npy"
        offsets = self._load(key, status.st_size)
        if offsets is None:
            offsets = record_offsets(path)
            self._store(key, offsets)
        return TfrecordShard(path, offsets)

    def _load(self, key, size):
        for folder in self._folders:
            with contextlib.suppress(Exception):  # numpy raises several for a damaged file
                path = os.path.join(folder, key)
                offsets = np.load(path, allow_pickle=False) if os.path.isfile(path) else None
                if _is_index(offsets, size):
                    return offsets
        return None

    def _store(self, key, offsets):
        for folder in self._folders:
            path = os.path.join(folder, key)
            with contextlib.suppress(OSError):
                os.makedirs(folder, exist_ok=True)
                with complete_or_absent(path, aside_of(path, ".npy")) as aside:
                    np.save(aside, offsets, allow_pickle=False)
                return


def record_offsets(path: str) -> np.ndarray:
    """Where each record of a TFRecord file starts, and the end of the last one.

    Only headers are read. Shape: -> [records + 1] int64.
    Source: tensorflow/core/lib/io/record_writer.h (length, masked CRC-32C of the
    length, data, masked CRC-32C of the data).
    Raises: DataError where a header's checksum fails or the file is cut.
    """
    size = os.path.getsize(path)
    offsets = [0]
    with open(path, "rb", buffering=0) as file:
        while offsets[-1] < size:
            header = os.pread(file.fileno(), _HEADER.size, offsets[-1])
            end = _record_end(header, offsets[-1])
            if end is None or end > size:
                what = "is cut" if end or len(header) < _HEADER.size else "has a damaged header"
                raise DataError(f"{path}, record {len(offsets) - 1} {what} at byte {offsets[-1]} "
                                f"of {size}; restore the file from its source")
            offsets.append(end)
    return np.array(offsets, np.int64)


def _is_index(offsets, size):
    """Whether an array can be what `record_offsets` gives for a file of `size` bytes."""
    return (offsets is not None and offsets.ndim == 1 and offsets.dtype == np.int64
            and offsets[0] == 0 and offsets[-1] == size and bool((np.diff(offsets) > 0).all()))


def _record_end(header, start):
    if len(header) < _HEADER.size:
        return None
    length, crc = _HEADER.unpack(header)
    if crc != _mask(header[:8]):
        return None
    return start + _HEADER.size + length + _FOOTER.size


def _mask(data):
    """CRC-32C as TFRecord stores it: rotated and offset, see record_writer.h."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _require_count(shard, instruction):
    if shard.num_records != instruction.examples_in_shard:
        raise DataError(
            f"{instruction.filename} holds {shard.num_records} records, dataset_info.json declares "
            f"{instruction.examples_in_shard}; restore the file or prepare again"
        )


def _allow_open_files(count):
    """ArrayRecord files stay open; ImageNet has more of them than a shell's usual 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_FILES
    if soft < wanted:
        wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _require_file(path):
    if not os.path.isfile(path):
        raise DataError(f"{path} is missing; restore it or prepare the data set again")


def _cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "inception_tf", "record_offsets")
