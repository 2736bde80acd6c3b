"""Image folders: data_dir/SPLIT/CLASS/*.jpg."""

import collections
import logging
import os
import statistics

from inception_tf.config import Data
from inception_tf.data import pictures
from inception_tf.data.images import EXTENSIONS
from inception_tf.data.sources import Example, Source
from inception_tf.errors import DataError, UsageError
from inception_tf.text import printable

log = logging.getLogger(__name__)

# Names that a message lists before it says how many more there are.
MAX_NAMED = 5


class FolderSource(Source):
    """Files sorted by class, then by name; classes are those of the train split.

    Of a name that is not UTF-8, class names and ids have the other bytes as `\\udcXX`.
    """

    def __init__(self, data: Data, split: str):
        root = os.path.expanduser(data.data_dir)
        if not root:
            raise UsageError("--dataset=folder needs --data_dir=DIR with DIR/SPLIT/CLASS/*.jpg")
        self._folder = _split_folder(root, split)
        own, skipped = _classes(self._folder)
        classes = _reference_classes(root, data.train_split, split, own)
        sizes = []
        for name in own:
            listing = _listing(self._folder, name)
            sizes += [(name, path, size) for path, size in listing.pictures]
            skipped += listing.skipped
        # A picture of 0 bytes is a bad one: it makes no class that can be learned.
        found = collections.Counter(name for name, _, size in sizes if size)
        counts = {name: found[name] for name in classes}
        if split == data.train_split:
            _refuse_nothing_to_learn(self._folder, counts, skipped, data.allow_empty_classes)
        labels = {name: label for label, name in enumerate(classes)}
        self._files = [(os.path.join(name, path), labels[name]) for name, path, _ in sizes]
        super().__init__("folder", split, len(self._files), map(_text, classes), sizes,
                         root)
        _log_summary(self._folder, len(self._files), counts, skipped)

    def describe(self, index: int) -> str:
        return _text(f"{self.split}/{self._files[index][0]}")

    @property
    def max_id_bytes(self) -> int:
        return max(len(self.describe(index).encode()) for index in range(self.num_examples))

    def _read(self, index):
        path, label = self._files[index]
        content = pictures.read_picture(os.path.join(self._folder, path))
        return Example(content, label, self.describe(index))


def _text(name):
    """`name` as standard output shows it: TensorFlow and files take no surrogates."""
    return name.encode(errors="backslashreplace").decode()


def _split_folder(root, split):
    if not os.path.isdir(root):
        raise UsageError(f"--data_dir={root} is not a folder")
    folder = os.path.join(root, split)
    if not split or not os.path.isdir(folder):
        known = _named(_classes(root)[0]) or "none"
        raise UsageError(f"no split {split!r} in --data_dir={root}; folders there: {known}")
    return folder


def _reference_classes(root, train_split, split, own):
    """Classes of the train split; `own`, those of `split`, when only that exists."""
    reference = os.path.join(root, train_split)
    if train_split == split or not os.path.isdir(reference):
        return own
    classes, _ = _classes(reference)
    if unknown := sorted(set(own) - set(classes)):
        raise DataError(f"{split}/{printable(unknown[0])}: no such class in {train_split}/ of "
                        f"--data_dir={root} ({len(unknown)} of {len(own)} classes are unknown)")
    return classes


def _classes(folder):
    """(sorted names of the class folders of a split, what else lies there by reason)."""
    names, listing = pictures.subfolders(folder)
    _refuse_problems(folder, listing)
    loose = collections.Counter({"outside a class folder": len(listing.pictures)})
    return names, listing.skipped + loose


def _listing(split_folder, name):
    folder = os.path.join(split_folder, name)
    listing = pictures.list_pictures(folder)
    _refuse_problems(folder, listing)
    return listing


def _refuse_problems(folder, listing):
    if listing.problems:
        path, why = listing.problems[0]
        more = f" (and {len(listing.problems) - 1} more)" if len(listing.problems) > 1 else ""
        path = os.path.normpath(os.path.join(folder, path))
        raise DataError(f"{printable(path)}: {why}{more}; restore or remove it")


def _refuse_nothing_to_learn(folder, counts, skipped, allow_empty):
    """Raises DataError for less than two classes, and for one without a picture."""
    read = ", ".join(EXTENSIONS)
    passed_over = pictures.skipped_words(skipped)
    if len(counts) < 2:
        raise DataError(f"{folder}: classes are its folders, at least 2 are needed; there: "
                        f"{_named(counts) or 'none'}{passed_over}")
    empty = [name for name, count in counts.items() if not count]
    if empty and not allow_empty:
        raise DataError(f"{folder}: {len(empty)} of {len(counts)} classes have no picture "
                        f"({read}): {_named(empty)}{passed_over}; add some, remove the folder, "
                        "or give --allow_empty_classes")


def _log_summary(folder, number, counts, skipped):
    """One line: how many images in which classes, and what was passed over; a warning if odd."""
    present = [count for count in counts.values() if count] or [0]
    absent = [name for name, count in counts.items() if not count]
    zero = number - sum(present)
    words = (f"{folder}: {number:,} images in {len(counts) - len(absent):,} classes "
             f"({min(present):,} to {max(present):,} each, median "
             f"{statistics.median_low(present):,})")
    if absent:
        words += f"; {len(absent):,} without images: {_named(absent)}"
    if zero:
        words += f"; {zero:,} of 0 bytes, which count as bad"
    log.log(logging.WARNING if absent or zero else logging.INFO, "%s%s", words,
            pictures.skipped_words(skipped))


def _named(names):
    """The first few of `names`, and how many more."""
    more = len(names) - MAX_NAMED
    return ", ".join(map(printable, list(names)[:MAX_NAMED])) + f", {more} more" * (more > 0)
