"""The JSON files of a prepared TFDS set, which anybody may have edited or damaged.

TFDS trusts them: it reads any size, raises whatever their contents lead to, and opens the
files that their templates name.
"""

import os
import re
from collections.abc import Callable
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any

from inception_tf import strict_json
from inception_tf.errors import DataError, InceptionError
from inception_tf.text import one_line, printable

INFO, FEATURES = "dataset_info.json", "features.json"
# ImageNet's have 10 kB; statistics of a schema come to megabytes.
MAX_BYTES = 16 * 2**20
# Bounds the names that TFDS makes up for classes it has only a number of.
MAX_CLASSES = 1_000_000
# What TFDS fills in, and characters of plain file names: no widths ({SPLIT:>9999999999}).
_TEMPLATE = re.compile(r"(\{(DATASET|SPLIT|FILEFORMAT|SHARD_INDEX|NUM_SHARDS|SHARD_X_OF_Y)\}"
                       r"|[\w.,@+=/-])*")


def read_builder(name: str, roots: list[str], make: Callable[[], Any]) -> Any:
    """The TFDS builder that `make` gives, its files checked before and after TFDS reads them.

    Args:
        name: of the set, as NAME[/CONFIG][:VERSION].
        roots: folders where TFDS looks for it.

    Raises:
        DataError: a file of it is damaged.
        Exception: what TFDS raises where no files of the set are there.
    """
    folders = [folder for root in roots for folder in _folders_of(name, root)]
    for folder in folders:
        _require_plain_files(folder)
    try:
        builder = make()
        _check(builder)
    except (InceptionError, ImportError):
        raise
    except Exception as error:
        for folder in folders:
            _require_json(folder)
        if folders:
            raise DataError(f"{' or '.join(map(str, folders))}: {INFO}, {FEATURES} or the labels "
                            f"are damaged: {one_line(error)}") from None
        raise
    return builder


def _folders_of(name, root):
    """Folders of the versions of a set, below those of its configs or without."""
    name, given = import_module("tensorflow_datasets.core.naming").parse_builder_name_kwargs(name)
    depths = (f"{given['config']}/*",) if "config" in given else ("*", "*/*")
    return sorted(path for depth in depths for path in Path(root, str(name)).glob(depth)
                  if re.fullmatch(r"\d+\.\d+\.\d+", path.name) and path.is_dir()
                  and fnmatch(path.name, given.get("version", "*")))


def _require_plain_files(folder):
    """Raises DataError for what could not be read to its end: a FIFO, a sparse file of 100 GB."""
    for path in (*folder.glob("*.json"), *folder.glob("*.labels.txt")):
        if not path.is_file():
            raise DataError(f"{printable(path)} is not a file")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{printable(path)} has {size:,} bytes; at most {MAX_BYTES:,} are read")


def _require_json(folder):
    """Raises DataError naming the file that is missing or no JSON, and the place in it."""
    strict_json.read(folder / INFO, dict, DataError, MAX_BYTES)
    strict_json.read(folder / FEATURES, dict, DataError, MAX_BYTES)


def _check(builder):
    """Raises an exception where what TFDS read from the set's folder cannot be."""
    folder, info = Path(builder.data_path), builder.info
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    stored = strict_json.read(folder / INFO, dict, DataError, MAX_BYTES)
    if os.path.lexists(folder / FEATURES):  # TFDS before 4.0 wrote none
        strict_json.read(folder / FEATURES, dict, DataError, MAX_BYTES)
    if str(builder.version) != folder.name:
        raise ValueError(f"version {builder.version} in a folder called {folder.name}")
    if len(info.splits) != len(stored.get("splits", ())):
        raise ValueError("a split is declared twice")
    if not any(any(split.shard_lengths) for split in info.splits.values()):
        raise ValueError("no examples are declared")
    for split in info.splits.values():
        _check_split(split)
    for name, feature in getattr(info.features, "items", tuple)():
        if number := getattr(feature, "num_classes", 0):
            _check_classes(number, folder / f"{name}.labels.txt")


def _check_classes(number, path):
    """Raises ValueError unless the list of labels, if there is one, has so many of them."""
    if number > MAX_CLASSES:
        raise ValueError(f"{number:,} classes are declared; at most {MAX_CLASSES:,} are read")
    # TFDS says nothing of a list that it cannot read, and takes other names, or some of them.
    if path.exists():
        names = [line.strip() for line in path.read_text("utf-8").split("\n") if line.strip()]
        if len(names) != number or len(set(names)) != number:
            raise ValueError(f"{path.name} has {len(set(names))} names for {number} classes")


def _check_split(split):
    """Raises ValueError for a negative length, and for files outside the set's folder."""
    if min(split.shard_lengths, default=0) < 0:
        raise ValueError(f"split {split.name} declares {min(split.shard_lengths)} examples")
    files = split.filename_template
    if not _TEMPLATE.fullmatch(files.template):
        raise ValueError(f"the files of split {split.name} are named {files.template}")
    path = PurePath(files.relative_filepath(shard_index=0, num_shards=split.num_shards or 1))
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"the files of split {split.name} lie outside: {path}")
