"""What is right for each image, and which images count: labels, exclusions, other labels.

Files name an image by its example id (`validation/cat/3.jpg`, `shapes/validation#12`), by
its file's name with or without extension, or, where files are called
`ILSVRC2012_val_00000036.JPEG`, by the number 36, as ILSVRC's development kit does.
"""

import collections
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from inception_tf import strict_json
from inception_tf.errors import DataError, UsageError
from inception_tf.text import printable

# Names given in one message.
_MAX_NAMED = 3
_FILE_IN_ID = re.compile(r"#\d+ \((.+)\)$")
_NUMBERED = re.compile(r"ILSVRC\d{4}_(?:val|test)_0*(\d+)")


def file_name(example_id: str) -> str:
    """Name of the file an example came from: the part in brackets, else the last of a path."""
    found = _FILE_IN_ID.search(example_id)
    return PurePosixPath(found[1] if found else example_id).name


def file_number(example_id: str) -> int | None:
    """36 of `...ILSVRC2012_val_00000036.JPEG`, None for another name."""
    found = _NUMBERED.match(file_name(example_id))
    return int(found[1]) if found else None


def _rows_of(names, example_ids, what):
    """The row of each image of `names`; UsageError for unknown and for ambiguous ones."""
    found = collections.defaultdict(set)
    for row, example_id in enumerate(example_ids):
        name, number = file_name(example_id), file_number(example_id)
        # As it is, and as it is printed: a line of a file cannot hold every name.
        for alias in (example_id, printable(example_id), name, PurePosixPath(name).stem):
            found[alias].add(row)
        if number is not None:
            found[str(number)].add(row)
    if unknown := [name for name in names if name not in found]:
        raise UsageError(f"{what} names {len(unknown)} image(s) that the split does not have: "
                         f"{', '.join(unknown[:_MAX_NAMED])}; ids there look like {example_ids[0]}")
    for name in names:
        if len(found[name]) > 1:
            raise UsageError(f"{what}: {name} names {len(found[name])} images; write their "
                             f"example ids, like {example_ids[0]}")
    return [next(iter(found[name])) for name in names]


def _read_exclusions(path):
    """The names in an exclusion file: one a line; empty lines and what follows # are left out.

    A # within an id (`shapes/validation#12`) is part of it: a comment's # starts the line or
    follows a blank.
    """
    lines = read_text(path, "--exclude").split("\n")
    names = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]
    return [name for name in names if name]


def excluded_rows(path: str, example_ids: Sequence[str]) -> np.ndarray:
    """bool [N]: the images that an exclusion file names; none without a file."""
    rows = np.zeros(len(example_ids), bool)
    if path:
        rows[_rows_of(_read_exclusions(path), example_ids, f"--exclude={path}")] = True
    return rows


def own_targets(labels: np.ndarray) -> np.ndarray:
    """int [N, 1]: the split's own labels. Raises DataError when only some images have one."""
    known = int((labels >= 0).sum())
    if 0 < known < len(labels):
        raise DataError(f"{len(labels) - known} of {len(labels)} images have no label")
    return labels[:, np.newaxis]


def other_targets(path: str, example_ids: Sequence[str], num_classes: int) -> np.ndarray:
    """int [N, L] of a file of labels: several right classes per image, or none.

    The file is JSON: {image name: [class, ...]}, or a list of such lists. A list goes by the
    number in the images' file names (the ReaL labels of ImageNet do), else by their order.

    Raises:
        UsageError: not such a file, or not for these images.
    """
    given = _read_labels(path, num_classes)
    if isinstance(given, dict):
        rows = _rows_of(given, example_ids, f"--labels={path}")
        lists, found = list(given.values()), len(set(rows))
    else:
        lists, rows = given, _rows_of_list(example_ids)
        found = len(given)
    if found != len(example_ids):
        raise UsageError(f"--labels={path} has labels of {found} images, the split has "
                         f"{len(example_ids)}")
    targets = np.full((len(example_ids), max(1, *map(len, lists))), -1, np.int32)
    for row, classes in zip(rows, lists, strict=True):
        targets[row, :len(classes)] = classes
    return targets


def _rows_of_list(example_ids):
    """Row of the n-th entry of a list of labels."""
    numbers = [file_number(name) for name in example_ids]
    if None in numbers:
        return range(len(example_ids))
    return np.argsort(np.array(numbers, int))


def _read_labels(path, num_classes):
    given = strict_json.parse(read_text(path, "--labels"), dict[str, list[int]] | list[list[int]],
                              f"--labels={path}")
    lists = given.values() if isinstance(given, dict) else given
    good = len(given) and all(
        len(set(classes)) == len(classes) and all(0 <= c < num_classes for c in classes)
        for classes in lists)
    if not good:
        raise UsageError(f"--labels={path} must hold a list of different classes "
                         f"0..{num_classes - 1} per image")
    return given


def read_text(path: str, flag: str) -> str:
    """The text of a file that a flag names; UsageError when it is no file, or none of text."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UsageError(f"{flag}={path}: is not a file")
        return Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise UsageError(f"{flag}={path}: {reason}") from None
