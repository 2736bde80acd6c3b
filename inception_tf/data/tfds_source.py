"""TFDS data sets by index, whether prepared as ArrayRecord or as TFRecord."""

import collections
import contextlib
import difflib
import importlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inception_tf.config import Data
from inception_tf.data import shards, tfds_info
from inception_tf.data.sources import Example, Source
from inception_tf.errors import DataError, UsageError
from inception_tf.text import first_line

log = logging.getLogger(__name__)

EMBEDDED = "shapes"
# The most of a file name that an id has, its end: longer ones are paths, and "#5" tells them apart.
_FILE_NAME_BYTES = 255
_NAME = re.compile(r"[\w-]+(/[\w.+-]+)?(:[\w.*]+)?")


def is_prepared(builder: Any) -> bool:
    """Whether the set's files are there."""
    with quiet_tfds():
        return builder.is_prepared()


def find_builder(data: Data, file_format: str | None = None) -> Any:
    """The TFDS builder of `data`. Raises UsageError listing near names when unknown."""
    tfds = import_tfds()
    if not _NAME.fullmatch(data.dataset):
        raise UsageError(f"--dataset={data.dataset!r} is not a name like cifar10 or cifar10:3.0.2")
    try:
        # Absolute: TFDS' search upwards for a folder would not end at a relative one.
        data_dir = str(Path(data.data_dir).expanduser().absolute()) if data.data_dir else None
        if data_dir:
            data_dir.encode()  # ArrayRecord would complain of other names when all is drawn
        with quiet_tfds():
            builder = tfds_info.read_builder(
                data.dataset, tfds.core.utils.file_utils.list_data_dirs(data_dir),
                lambda: tfds.builder(data.dataset, data_dir=data_dir, file_format=file_format))
    except tfds.core.DatasetNotFoundError:
        raise UsageError(_unknown_name(tfds, data.dataset)) from None
    except (OSError, ImportError, AssertionError, ValueError, RuntimeError) as error:
        raise UsageError(f"--dataset={data.dataset}: {first_line(error):.200}") from error
    if not (there := existing_part(builder.data_dir)).is_dir():
        raise UsageError(f"--data_dir={data.data_dir or builder.data_dir_root}: {there} is no "
                         "folder")
    return builder


def existing_part(path: str) -> Path:
    """`path`, or the nearest folder above it that exists; links are not followed."""
    return next(p for p in (Path(path), *Path(path).parents) if os.path.lexists(p))


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Hides TFDS' log of where it looked; errors and progress stay visible."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def import_tfds() -> Any:
    """tensorflow_datasets with the embedded set registered, its bars on terminals only."""
    # Registers itself with TFDS by being imported.
    importlib.import_module("inception_tf.data.shapes")
    tfds = importlib.import_module("tensorflow_datasets")
    # Each attempt to reach a server would be a line; the error that ends them says it once.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    return tfds


class TfdsSource(Source):
    """One split (or part of one: `train[:10%]`) of a prepared TFDS set."""

    def __init__(self, builder: Any, name: str, split: str):
        self._features = builder.info.features
        instructions = _instructions(builder, name, split)
        _refuse_extra_shards(instructions)
        self._skip_decoding = {"image": import_tfds().decode.SkipDecoding()}
        self._has_file_name = "file_name" in self._features
        self._shards = shards.Shards(instructions, _opener(builder))
        super().__init__(
            name, split, len(self._shards), self._features["label"].names,
            (builder.info.full_name, [_identity(i) for i in instructions]),
            str(builder.data_path),
        )

    @property
    def max_id_bytes(self) -> int:
        return super().max_id_bytes + (len(" ()") + _FILE_NAME_BYTES) * self._has_file_name

    def _read(self, index):
        stored = self._shards.read(index)
        name = self.describe(index)
        try:
            example = self._features.deserialize_example_np(stored, decoders=self._skip_decoding)
            if self._has_file_name:
                file_name = example["file_name"].decode(errors="backslashreplace").encode()
                name += f" ({file_name[-_FILE_NAME_BYTES:].decode(errors='ignore')})"
            return Example(bytes(example["image"]), int(example["label"]), name)
        except Exception as error:  # TFDS and TensorFlow raise several
            raise DataError(f"{name} is not what {tfds_info.FEATURES} declares: "
                            f"{first_line(error):.200}") from None


def _instructions(builder, name, split):
    splits = builder.info.splits
    try:
        # TFDS reads such a part as less than nothing, and takes it off the others of a sum.
        for part in import_tfds().core.ReadInstruction.from_spec(split).to_absolute(splits):
            if (part.from_ or 0) > (splits[part.splitname].num_examples
                                    if part.to is None else part.to):
                raise ValueError(f"{part.splitname} from {part.from_} to {part.to} begins after "
                                 "its end")
        return splits[split].file_instructions
    except (KeyError, ValueError, AssertionError) as error:
        known = ", ".join(f"{k} ({v.num_examples})" for k, v in splits.items()) or "none"
        raise UsageError(f"--dataset={name} has no split {split!r}; splits: {known} "
                         f"[{first_line(error):.200}]") from None


def _opener(builder):
    """path -> shard, for the format the set was prepared in."""
    file_format = builder.info.file_format.value
    if file_format == "array_record":
        return shards.ArrayRecordShard
    if file_format == "tfrecord":
        log.info("%s is prepared as TFRecord: reading through an index of record offsets",
                 builder.info.full_name)
        return shards.TfrecordIndex(str(builder.data_path)).open_shard
    raise UsageError(f"{builder.info.full_name} is prepared as {file_format}; prepare it as "
                     "array_record into another --data_dir")


def _refuse_extra_shards(instructions):
    """A second set of shards next to the declared one means an interrupted or mixed copy."""
    declared = collections.defaultdict(set)
    for instruction in instructions:
        if found := re.fullmatch(r"(.*)-\d{5,}-of-(\d{5,})", instruction.filename):
            declared[os.path.split(found[1])].add(found[2])
    for (folder, stem), counts in declared.items():
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            found = re.fullmatch(re.escape(stem) + r"-\d{5,}-of-(\d{5,})", name)
            if found and found[1] not in counts:
                raise DataError(f"{os.path.join(folder, name)} does not belong to the "
                                f"{int(min(counts))} shards that dataset_info.json declares")


def _identity(instruction):
    path = instruction.filename
    size = os.path.getsize(path) if os.path.exists(path) else -1
    return os.path.basename(path), size, instruction.skip, instruction.take


def require_image_and_label(features: Any, name: str) -> None:
    """Raises UsageError unless the set has one image and one class per example."""
    tfds = import_tfds()
    wanted = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    found = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    if not all(isinstance(found.get(key), kind) for key, kind in wanted.items()):
        listed = ", ".join(f"{k}: {type(v).__name__}" for k, v in sorted(found.items()))
        raise UsageError(f"--dataset={name} has no image and label to train on; it has "
                         f"{listed or 'nothing to read'}")


def _unknown_name(tfds, name):
    known = tfds.list_builders(with_community_datasets=False)
    near = difflib.get_close_matches(name.split(":")[0], known, n=5, cutoff=0.5)
    near = [n for n in (EMBEDDED, "folder", "imagenet2012") if n not in near] + near
    return f"unknown --dataset={name}; known are {', '.join(near)} and {len(known)} more of TFDS"
